"""What a device must be able to do with a model: predict, and train on its own samples.

Two implementations stand behind this interface: the NumPy twin
(`device_sim.twin`), which is the readable reference, and the C core.  Arrays
at this border are float32; `weights` is the flat parameter vector of
`tflite_models.parameters`, dequantised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wire.messages import Recipe

F32 = NDArray[np.float32]
Labels = NDArray[np.integer]


class DivergedError(ArithmeticError):
    """Training left the finite numbers: the recipe is too hot for this data."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(f"local training gave numbers that are not finite, with {recipe}")
        self.recipe = recipe


@dataclass(frozen=True, eq=False)
class Trained:
    """What one local training gave; its update is `weights` − the weights it began with.

    Losses are the mean cross-entropy over all local samples: of the weights
    as received, and of `weights`.
    """

    weights: F32  # (size,), the caller's to keep
    samples: int
    loss_before: float
    loss_after: float


class Trainer(Protocol):
    """A model that can learn.  Same arguments, same bits, on one machine."""

    def predict(self, weights: F32, x: F32) -> F32:
        """The logits (n, classes), before any final softmax, for x (n, *input shape)."""
        ...

    def train(self, weights: F32, x: F32, y: Labels, recipe: Recipe, seed: int) -> Trained:
        """Train on x (n, *input shape) with labels y (n,) in 0 … classes − 1; n ≥ 1.

        `weights` is not changed; pruned weights are zero in the result, and what
        `recipe.trains` leaves out (tflite_models.scope) is what it was to the bit.
        Raises ValueError for shapes, labels or bits that do not fit the model, and
        DivergedError when a result is not finite.
        """
        ...
