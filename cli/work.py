"""What a model's training and inference execute: as measured before, or by a fit."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cli.config import Experiment

if TYPE_CHECKING:
    from device_sim.energy import Work


def work_of(experiment: Experiment, file: bytes) -> Work:
    """What was measured of this model and recipe before, or else an estimate."""
    kept = _place(experiment, file)
    if kept.exists():
        from device_sim.energy import Work

        return Work(**json.loads(kept.read_text("utf-8")))
    from device_sim.work import estimated
    from tflite_models.graph import read_graph
    from tflite_models.parameters import layout_of
    from tflite_models.scope import bits_of

    graph = read_graph(file)
    layout = layout_of(graph)
    return estimated(graph, layout, bits_of(layout, experiment.federated.train))


def measured_work(experiment: Experiment, file: bytes) -> Work:
    """Measure in QEMU, which takes some seconds, and remember it; else as `work_of`.

    An estimate is what is left without a compiler or QEMU, and for a model that the compiler
    of models cannot compile.
    """
    kept = _place(experiment, file)
    if not kept.exists():
        from cli.measure import measure

        work = measure(experiment.federated, file)
        if work is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            draft = kept.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(asdict(work)) + "\n", encoding="utf-8")
            draft.replace(kept)
    return work_of(experiment, file)


def _place(experiment: Experiment, file: bytes) -> Path:
    """Where the figures of a model are kept: by its bytes, the recipe, and the code that ran."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    key = sha256(file + _recipe(experiment) + _sources())
    return Path(cache).expanduser() / "microfed" / f"work-{key.hexdigest()[:24]}.json"


def _recipe(experiment: Experiment) -> bytes:
    """What of the settings changes how much a training executes."""
    f = experiment.federated
    switches = [bool(n) for n in (f.momentum, f.weight_decay, f.proximal, f.clip_norm, f.rotation)]
    return json.dumps([f.train, f.batch, f.fake_quantize, switches]).encode()


def _sources() -> bytes:
    from firmware.qemu import CORE

    hashed = sha256()
    for path in sorted((CORE / "src").rglob("*.[ch]")):
        hashed.update(path.read_bytes())
    return hashed.digest()
