"""CONCATENATION and PAD: activations placed in a larger one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device_sim.twin.op import Array, Arrays, Saved

Corner = tuple[int, ...]  # of a sample: where it begins in the output


@dataclass(frozen=True)
class Place:
    """Each input at its corner of the output of shape `to`; what no input fills is 0."""

    to: tuple[int, ...]
    corners: tuple[Corner, ...]

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """Arrays (n, *sample) → (n, *to)."""
        del params
        out = np.zeros((len(inputs[0]), *self.to), inputs[0].dtype)
        shapes = tuple(x.shape[1:] for x in inputs)
        for x, corner in zip(inputs, self.corners, strict=True):
            out[_region(corner, x.shape[1:])] = x
        return out, tuple(np.array(shape) for shape in shapes)

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """Each input gets the gradient of its place."""
        regions = (_region(c, tuple(shape)) for c, shape in zip(self.corners, saved, strict=True))
        return tuple(grad[region] for region in regions), ()


def _region(corner: Corner, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(None), *(slice(at, at + n) for at, n in zip(corner, shape, strict=True)))
