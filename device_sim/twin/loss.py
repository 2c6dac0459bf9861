"""What training makes small: cross-entropy for classes, squared error for autoencoders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device_sim.twin.op import Array


def cross_entropy(logits: Array, y: NDArray[np.integer]) -> tuple[float, Array]:
    """The sum over the samples of −log p(y), and its gradient by the logits (n, classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    grad = np.exp(shifted)
    total = grad.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = np.log(total[:, 0]) - shifted[rows, y]
    grad /= total
    grad[rows, y] -= 1.0
    return float(loss.sum(dtype=np.float64)), grad


def squared_error(outputs: Array, wanted: Array) -> tuple[float, Array]:
    """The sum over the samples of the mean of (output − wanted)²; its gradient by the outputs."""
    difference = outputs - wanted.reshape(outputs.shape)
    loss = np.square(difference).mean(axis=1)
    return float(loss.sum(dtype=np.float64)), difference * (2.0 / outputs.shape[1])
