"""AVERAGE_POOL_2D, MAX_POOL_2D and MEAN over height and width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device_sim.twin.op import Array, Arrays, Saved
from device_sim.twin.window import Window


@dataclass(frozen=True)
class AveragePool:
    """The mean of what the window sees of the sample; its padding does not count."""

    window: Window

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, in_h, in_w, c) → (n, out_h, out_w, c)."""
        del params
        total = _sum(self.window, inputs[0])
        total *= self._shares(inputs[0])
        return total, ()

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """Each pixel gets its share of every place that saw it."""
        del saved
        shared = grad * self._shares(grad)
        by_padded = self.window.blank(grad)
        for tap in self.window.taps(by_padded):
            tap[...] += shared
        return (self.window.inside(by_padded),), ()

    def _shares(self, like: Array) -> Array:
        """1 / (pixels of the sample that a place sees), (1, out_h, out_w, 1)."""
        ones = np.ones((1, self.window.in_h, self.window.in_w, 1), like.dtype)
        return 1.0 / _sum(self.window, ones)


def _sum(window: Window, x: Array) -> Array:
    first, *rest = window.taps(window.pad(x))
    total = first.copy()
    for seen in rest:
        total += seen
    return total


@dataclass(frozen=True)
class MaxPool:
    """The largest value that the window sees; of equals, the first has it and gets the gradient."""

    window: Window

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, in_h, in_w, c) → (n, out_h, out_w, c)."""
        del params
        padded = self.window.pad(inputs[0], -np.inf)
        first, *rest = self.window.taps(padded)
        best = first.copy()
        for seen in rest:
            np.maximum(best, seen, out=best)
        return best, (padded, best)

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """The gradient goes where the maximum came from."""
        padded, best = saved
        by_padded = self.window.blank(grad)
        waiting = np.ones(best.shape, np.bool_)
        for seen, tap in zip(self.window.taps(padded), self.window.taps(by_padded), strict=True):
            found = (seen == best) & waiting
            waiting ^= found
            tap[...] += grad * found
        return (self.window.inside(by_padded),), ()


@dataclass(frozen=True)
class Mean:
    """The mean over height and width: (n, h, w, c) → (n, c), or (n, 1, 1, c) with `keep_dims`."""

    height: int
    width: int
    keep_dims: bool

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, h, w, c) → (n, c) or (n, 1, 1, c)."""
        del params
        return inputs[0].mean(axis=(1, 2), keepdims=self.keep_dims), ()

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """Each pixel gets an equal share."""
        del saved
        share = grad.reshape(len(grad), 1, 1, -1) / (self.height * self.width)
        shape = (len(grad), self.height, self.width, share.shape[-1])
        return (np.broadcast_to(share, shape),), ()
