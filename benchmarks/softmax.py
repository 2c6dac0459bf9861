"""The workload that federated simulators are compared on: softmax regression 784 → 10.

Random images around ten prototypes stand for handwritten digits; who computes
what is the same for all, and no data set has to be there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.dense import Layer, network
from device_sim.shard import Shard

INPUTS, CLASSES = 784, 10
SAMPLES = 60  # a client
LEARNING_RATE = 0.02
IMAGES = 60_000  # distinct; clients beyond the thousandth share them with earlier ones


def images(seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Make x (IMAGES, 784) in 0 … 1, y (IMAGES,)."""
    rng = np.random.default_rng(seed)
    prototypes = rng.random((CLASSES, INPUTS), np.float32)
    y = rng.integers(0, CLASSES, IMAGES, np.int32)
    x = rng.random((IMAGES, INPUTS), np.float32)
    x *= 0.7
    x += 0.3 * prototypes[y]
    return x, y


def shards(clients: int) -> dict[str, Shard]:
    """Each client's samples; views of one array."""
    x, y = images()
    found = {}
    for client in range(clients):
        # Beyond the first lap windows are shifted, so that no two clients hold the same.
        lap, place = divmod(client * SAMPLES, IMAGES)
        start = min(place + lap, IMAGES - SAMPLES)
        found[f"dev-{client:05d}"] = Shard(x[start : start + SAMPLES], y[start : start + SAMPLES])
    return found


def model(seed: int = 1) -> bytes:
    """An int8 .tflite of one fully connected layer, small random weights, none of them pruned."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 28, (CLASSES, INPUTS)) * rng.choice((-1, 1), (CLASSES, INPUTS))
    return network([Layer(weights, 1 / 1024, 1 / 4, 0, relu=False)], 1 / 255, -128)
