"""DEPTHWISE_CONV_2D: each input channel has its own filters; a loop over the filter's taps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device_sim.twin.op import Array, Arrays, Saved, column_sums
from device_sim.twin.window import Window


@dataclass(frozen=True)
class DepthwiseConv2D:
    """Params: kernel (1, height, width, in·multiplier) and, where the file has one, bias.

    Output channel c·multiplier + m reads input channel c.
    """

    window: Window
    multiplier: int
    first: bool

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, in_h, in_w, in) → (n, out_h, out_w, in·multiplier)."""
        kernel, *bias = params
        padded = self.window.pad(self._spread(inputs[0]))
        shape = (len(padded), self.window.out_h, self.window.out_w, kernel.shape[-1])
        out = np.zeros(shape, padded.dtype)
        product = np.empty_like(out)
        for weight, seen in zip(self._taps(kernel), self.window.taps(padded), strict=True):
            out += np.multiply(seen, weight, out=product)
        for b in bias:
            out += b
        return out, (padded, *params)

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """The gradients by input and by kernel and bias."""
        padded, kernel, *bias = saved
        channels = kernel.shape[-1]
        by_kernel = np.empty_like(kernel.reshape(-1, channels))
        product = np.empty_like(grad)
        for k, seen in enumerate(self.window.taps(padded)):
            np.multiply(seen, grad, out=product)
            by_kernel[k] = column_sums(product.reshape(-1, channels))
        by_params = (by_kernel, *(column_sums(grad.reshape(-1, channels)) for _ in bias))
        if self.first:
            return (), by_params
        return (self._by_input(kernel, grad, product),), by_params

    def _by_input(self, kernel: Array, grad: Array, product: Array) -> Array:
        by_padded = self.window.blank(grad)
        for weight, tap in zip(self._taps(kernel), self.window.taps(by_padded), strict=True):
            tap[...] += np.multiply(grad, weight, out=product)
        by_spread = self.window.inside(by_padded)
        if self.multiplier == 1:
            return by_spread
        by_filter = by_spread.reshape(*by_spread.shape[:-1], -1, self.multiplier)
        summed: Array = by_filter.sum(axis=-1)
        return summed

    def _taps(self, kernel: Array) -> Array:
        """The weights (taps, out_w, channels), the same at each place: longer rows are faster."""
        taps = kernel.reshape(-1, 1, kernel.shape[-1])
        return np.repeat(taps, self.window.out_w, axis=1)

    def _spread(self, x: Array) -> Array:
        """Each channel of x as often as it has filters."""
        return x if self.multiplier == 1 else np.repeat(x, self.multiplier, axis=-1)
