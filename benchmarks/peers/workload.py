"""What every peer trains: softmax regression 784 → 10, the clients of benchmarks/softmax.py.

Runs in the peers' environment, where nothing of microfed is installed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

INPUTS, CLASSES, SAMPLES, BATCH, LEARNING_RATE = 784, 10, 60, 10, 0.02
IMAGES = 60_000

F32 = NDArray[np.float32]
Client = tuple[F32, NDArray[np.int32]]


def clients(count: int) -> list[Client]:
    """Each client's x (60, 784) in 0 … 1 and y (60,): views of one array."""
    rng = np.random.default_rng(1)
    prototypes = rng.random((CLASSES, INPUTS), np.float32)
    y = rng.integers(0, CLASSES, IMAGES, np.int32)
    x = rng.random((IMAGES, INPUTS), np.float32)
    x *= 0.7
    x += 0.3 * prototypes[y]
    places = (divmod(client * SAMPLES, IMAGES) for client in range(count))
    starts = [min(place + lap, IMAGES - SAMPLES) for lap, place in places]
    return [(x[start : start + SAMPLES], y[start : start + SAMPLES]) for start in starts]


def cohorts(count: int, size: int, rounds: int) -> Iterator[list[int]]:
    """The clients of each round, by chance."""
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        yield rng.choice(count, size, replace=False).tolist()


def zeros() -> tuple[F32, F32]:
    """Weights (784, 10) and bias (10,) to begin with."""
    return np.zeros((INPUTS, CLASSES), np.float32), np.zeros(CLASSES, np.float32)
