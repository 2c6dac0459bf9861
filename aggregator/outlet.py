"""The model files of a run directory: derived from the store, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from aggregator.store import Store
from aggregator.versions import Versions

NEWEST = "model.tflite"
BEST = "best.tflite"


def best_version(accuracies: dict[int, float]) -> int:
    """The most accurate version; the earliest of equals."""
    return max(accuracies, key=lambda version: (accuracies[version], -version))


def write_models(directory: Path, versions: Versions, store: Store) -> None:
    """Write the newest and the most accurate version, where the files are not those already."""
    accuracies = store.accuracies()
    for name, version in ((NEWEST, max(accuracies)), (BEST, best_version(accuracies))):
        _replace(directory / name, versions.file(store.weights(version)))


def _replace(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() == data:
        return
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
