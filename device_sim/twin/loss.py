"""Softmax and cross-entropy, taken together from the logits."""

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
