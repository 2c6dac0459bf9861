"""A run's folder: one process's at a time, prepared in one place, and never two runs'."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from aggregator.errors import RunBusyError
from aggregator.records import has_begun
from cli.config import ConfigError, Experiment, load

BASE = "base.tflite"
CONFIG = "config.toml"
CARD = "card.json"
NODES = "nodes.json"
LOCK = "run.lock"

# What may be another when a run goes on: where it runs, and how long.
FREE = ("broker.", "fleet.", "federated.rounds")


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """Make the folder if need be, and keep it for this process; RunBusyError if one has it."""
    run.mkdir(parents=True, exist_ok=True)
    lock = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunBusyError(run) from error
        yield
    finally:
        os.close(lock)


def prepare(run: Path, experiment: Experiment, model: Path | None) -> None:
    """Make `run`, which is held, the folder of `experiment` starting from `model`.

    A run that has begun goes on; it is refused to be made another one, before
    anything is changed.  One that never opened its first round may become any.

    Args:
        run: the folder.
        experiment: what is to be done.
        model: the int8 .tflite to start from, its card.json taken along where it has
            one; None for what the folder holds.

    Raises:
        ConfigError: another experiment or model than that of the run, or no model at all.
    """
    if model is None and not (run / BASE).exists():
        raise ConfigError(f"{run}: holds no run to go on with (no {BASE}): name a model")
    files = {CONFIG: experiment.to_toml().encode()}
    if has_begun(run):
        _check_same(run, experiment, model)
    elif model is not None:
        _write(run, files | _starting_from(model), instead_of=(BASE, CARD))
        return
    _write(run, files)


def _starting_from(model: Path) -> dict[str, bytes]:
    file, card = model.read_bytes(), model.with_name(CARD)
    files = {BASE: file}
    if card.exists() and sha256(file).hexdigest() in card.read_text(encoding="utf-8"):
        files = {CARD: card.read_bytes(), **files}  # it is this model's, not a neighbour's
    return files


def _check_same(run: Path, experiment: Experiment, model: Path | None) -> None:
    elsewhere = "go on with its own, or choose another folder with --out"
    if model is not None and model.read_bytes() != (run / BASE).read_bytes():
        raise ConfigError(
            f"--model {model}: the run in {run} started from another file; {elsewhere}"
        )
    there, here = _flat(load(run / CONFIG)), _flat(experiment)
    for key, found in here.items():
        if found != there[key] and not key.startswith(FREE):
            raise ConfigError(
                f"{key}: found {found!r}; the run in {run} has {there[key]!r}; {elsewhere}"
            )


def _flat(experiment: Experiment) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in experiment.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            flat[key] = value
    return flat


def _write(folder: Path, files: Mapping[str, bytes], instead_of: Sequence[str] = ()) -> None:
    """Write all aside, remove what they stand for, and put each in its place, in their order.

    Until the last is there the folder holds no run.
    """
    aside = {folder / name: folder / f"{name}.partial" for name in files}
    for path, partial in aside.items():
        with partial.open("wb") as file:
            file.write(files[path.name])
            file.flush()
            os.fsync(file.fileno())
    for name in instead_of:
        (folder / name).unlink(missing_ok=True)
    for path, partial in aside.items():
        partial.replace(path)
