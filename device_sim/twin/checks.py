"""What a trainer refuses before it computes: arrays that do not fit the model."""

from __future__ import annotations

from math import prod

import numpy as np

from device_sim.trainer import F32, Labels
from device_sim.twin.program import Program
from tflite_models.errors import ModelError
from tflite_models.parameters import Layout


def check_inputs(program: Program, layout: Layout, weights: F32, x: F32) -> None:
    """Raise ValueError unless weights are float32 (size,) and x is float32 (n, *sample)."""
    check_weights(layout, weights)
    check_samples(program, x)


def check_weights(layout: Layout, weights: F32) -> None:
    """Raise ValueError unless weights are float32 (size,)."""
    if weights.shape != (layout.size,) or weights.dtype != np.float32:
        found = f"{weights.dtype} {weights.shape}"
        raise ValueError(f"weights: {found}, allowed is float32 ({layout.size},)")


def check_samples(program: Program, x: F32) -> None:
    """Raise ValueError unless x is float32 (n, *sample)."""
    if x.shape[1:] != program.sample or x.dtype != np.float32:
        allowed = ("n", *program.sample)
        raise ValueError(f"x: {x.dtype} {x.shape}, allowed is float32 {allowed}")


def check_labels(y: Labels, samples: int, classes: int) -> None:
    """Raise ValueError unless y holds a class for each sample, and there is a sample.

    With 0 classes any number will do.
    """
    if y.shape != (samples,) or samples == 0 or y.dtype.kind not in "iu":
        raise ValueError(f"y: {y.dtype} {y.shape}, allowed is a whole number a sample, n ≥ 1")
    if classes and (y.min() < 0 or y.max() >= classes):
        raise ValueError(f"y: {y.min()} … {y.max()}, allowed is 0 … {classes - 1}")


def check_loss(program: Program, *, reconstructs: bool) -> None:
    """Raise ModelError for an autoencoder whose output has not the size of its input."""
    if reconstructs and prod(program.sample) != program.classes:
        what = f"{program.classes} outputs for {prod(program.sample)} inputs: no autoencoder"
        raise ModelError("graph", what)
