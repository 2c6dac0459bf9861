"""From settings to a verified int8 .tflite with its card."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.load import Dataset, load
from datasets.settings import DataSettings
from datasets.split import split
from pipeline.card import card_of, markdown
from pipeline.recipe import OnStage, Outcome, Recipe, Stage, follow
from pipeline.settings import ModelSettings, PruneSettings, QuantizeSettings
from pipeline.train import Samples


@dataclass(frozen=True)
class BuildResult:
    """What a build made and measured.

    Attributes:
        model: the file model.tflite; card.json and card.md lie beside it.
        stages: baseline, pruned, plain QAT, PQAT, int8 file; those of pruning only where
            something was pruned.
        central: int8 accuracy of the same network and recipe on the factory's and all
            devices' data; None where it was not asked for or there are no devices.
        seconds: the whole build took.
    """

    model: Path
    stages: tuple[Stage, ...]
    central: float | None
    seconds: float

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if the build had it."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def figures(self) -> dict[str, Any]:
        """The figures of the whole build; accuracy_pruned is None where nothing was pruned."""
        first, last, pruned = self.stages[0], self.stages[-1], self.stage("pruned")
        return {
            "accuracy_float": first.accuracy,
            "accuracy_pruned": pruned and pruned.accuracy,
            "accuracy_int8": last.accuracy,
            "accuracy_central": self.central,
            "sparsity": last.sparsity,
            "bytes_tflite": last.bytes,
            "bytes_gzip": last.bytes_gzip,
            "bytes_float_gzip": first.bytes_gzip,
            "seconds": self.seconds,
            "model": str(self.model),
        }


def build(
    data: DataSettings,
    model: ModelSettings,
    prune: PruneSettings,
    quantize: QuantizeSettings,
    *,
    seed: int,
    out: Path,
    on_stage: OnStage = lambda _: None,
) -> BuildResult:
    """Build the int8 model of an experiment into the folder `out`.

    Only the factory's share trains it; the test share measures it.  The same
    settings, seed and machine give the same file.  Nothing is written before
    the file is verified, and each file appears whole or not at all.

    Args:
        data: what is learnt, and what of it the factory has.
        model: the network and its training.
        prune: how many zeros.
        quantize: the fine-tuning for int8.
        seed: of everything random, the split included.
        out: folder for model.tflite, card.json and card.md; made if missing.
        on_stage: called with each stage as it ends, and with one named "central"
            when that reference was trained.

    Raises:
        DataError: the data is missing or cannot be divided so.
        BuildError: the model cannot be built so, or the file is not what was asked for.
    """
    started = time.perf_counter()
    dataset = load(data)
    parts = split(dataset, data, seed)
    recipe = Recipe(model, prune, quantize, seed)
    test = _samples(dataset, parts.test)
    outcome = follow(recipe, _samples(dataset, parts.factory), test, on_stage)
    central = None
    if model.central and parts.clients:
        everything = np.sort(np.concatenate([parts.factory, *parts.clients]))
        central = _central(recipe, _samples(dataset, everything), test, on_stage)
    card = card_of(dataset, data, parts, recipe, outcome, central)
    _write(
        out,
        {
            "model.tflite": outcome.file,
            "card.json": (json.dumps(card, indent=2) + "\n").encode(),
            "card.md": markdown(card).encode(),
        },
    )
    seconds = time.perf_counter() - started
    return BuildResult(out / "model.tflite", outcome.stages, central, seconds)


def _central(recipe: Recipe, training: Samples, test: Samples, on_stage: OnStage) -> float:
    started = time.perf_counter()
    alone = replace(recipe, quantize=recipe.quantize.model_copy(update={"compare": False}))
    outcome: Outcome = follow(alone, training, test, lambda _: None)
    last = replace(outcome.stages[-1], name="central", seconds=time.perf_counter() - started)
    on_stage(last)
    return last.accuracy


def _samples(dataset: Dataset, indices: NDArray[np.int64]) -> Samples:
    return Samples(dataset.x[indices], dataset.y[indices], len(dataset.classes))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files are written aside before the first takes its place."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = {folder / name: folder / f".{name}.new" for name in files}
    for path, new in aside.items():
        with new.open("wb") as file:
            file.write(files[path.name])
            os.fsync(file.fileno())
    for path, new in aside.items():
        new.replace(path)
