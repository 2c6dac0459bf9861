"""Random rotations of three-axis sensor data, as if the device were worn a little askew.

A person's data shows one way of wearing a device, and local training would
learn it by heart; rotated at random it cannot (Um et al. 2017,
arXiv:1706.00527).  The last axis of the data is taken three channels at a
time: each is one sensor's x, y, z, and all sensors of a sample turn together.
"""

from __future__ import annotations

import numpy as np

from device_sim.trainer import F32
from device_sim.twin.random import Random

AXES = 3


def rotated(x: F32, degrees: float, random: Random) -> F32:
    """Turn every sample (…, channels) by up to about `degrees` around each axis.

    The rotation is Cayley's, R = I + 2/(1 + u·u) (U + U²) for a uniform u: it is
    orthogonal for every u and needs no sine.  Raises ValueError when the
    channels are no multiple of three.
    """
    if x.shape[-1] % AXES:
        raise ValueError(f"rotation needs channels in threes, the data has {x.shape[-1]}")
    u = np.deg2rad(degrees) / 2.0 * random.centred(len(x), AXES)
    cross = np.zeros((len(x), AXES, AXES))  # U, with U v = u × v
    cross[:, [2, 0, 1], [1, 2, 0]] = u
    cross[:, [1, 2, 0], [2, 0, 1]] = -u
    scale = 2.0 / (1.0 + (u * u).sum(1))
    matrices = np.eye(AXES) + scale[:, None, None] * (cross + cross @ cross)
    vectors = x.reshape(len(x), -1, AXES)
    turned = vectors @ matrices.transpose(0, 2, 1).astype(np.float32)
    return np.ascontiguousarray(turned.reshape(x.shape))
