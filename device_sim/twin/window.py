"""How a filter moves over height and width: padding, im2col and its transpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from device_sim.twin.op import Array


@dataclass(frozen=True)
class Window:
    """A filter of height × width over samples of in_h × in_w, giving out_h × out_w places.

    `top` and `left` rows and columns are padded before the sample, `bottom`
    and `right` behind it.
    """

    height: int
    width: int
    stride_h: int
    stride_w: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def single(self) -> bool:
        """Whether every place sees exactly its own pixel."""
        return self.height == self.width == self.stride_h == self.stride_w == 1

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """Give x (n, in_h, in_w, c) its border of `value`; x itself where there is none."""
        if not (self.top or self.bottom or self.left or self.right):
            return x
        padded = self.blank(x, value)
        self.inside(padded)[...] = x
        return padded

    def blank(self, like: Array, value: float = 0.0) -> Array:
        """A padded array full of `value`, for as many samples and channels as `like` has."""
        height = self.top + self.in_h + self.bottom
        width = self.left + self.in_w + self.right
        return np.full((like.shape[0], height, width, like.shape[-1]), value, like.dtype)

    def inside(self, padded: Array) -> Array:
        """The view of a padded array without its border."""
        return padded[:, self.top : self.top + self.in_h, self.left : self.left + self.in_w]

    def taps(self, padded: Array) -> Iterator[Array]:
        """For each tap of the filter, row by row: the view (n, out_h, out_w, c) that it sees."""
        end_h = (self.out_h - 1) * self.stride_h + 1
        end_w = (self.out_w - 1) * self.stride_w + 1
        for i in range(self.height):
            for j in range(self.width):
                yield padded[:, i : i + end_h : self.stride_h, j : j + end_w : self.stride_w]

    def columns(self, x: Array) -> Array:
        """im2col: (n·out_h·out_w, height·width·c), a row for what the filter sees at each place."""
        c = x.shape[-1]
        if self.single:
            return x.reshape(-1, c)
        seen = sliding_window_view(self.pad(x), (self.height, self.width), axis=(1, 2))
        seen = seen[:, :: self.stride_h, :: self.stride_w].transpose(0, 1, 2, 4, 5, 3)
        return np.ascontiguousarray(seen).reshape(-1, self.height * self.width * c)

    def scatter(self, columns: Array) -> Array:
        """The transpose of `columns`: add each entry back to the pixel it was read from."""
        taps = self.height * self.width
        parts = columns.reshape(-1, self.out_h, self.out_w, taps, columns.shape[1] // taps)
        if self.single:
            return parts[:, :, :, 0]
        grad = self.blank(parts)
        for k, tap in enumerate(self.taps(grad)):
            tap[...] += parts[:, :, :, k]
        return self.inside(grad)


def window(
    sample: tuple[int, int], filter_: tuple[int, int], stride: tuple[int, int], padding: str
) -> Window:
    """The Window of a filter over samples of height × width, with "SAME" or "VALID" padding.

    SAME pads as TensorFlow does: out = ⌈in / stride⌉, the odd row or column
    goes behind.
    """
    sizes = zip(sample, filter_, stride, strict=True)
    (out_h, top, bottom), (out_w, left, right) = (_axis(*size, padding) for size in sizes)
    return Window(*filter_, *stride, *sample, out_h, out_w, top, bottom, left, right)


def _axis(size: int, taps: int, stride: int, padding: str) -> tuple[int, int, int]:
    """Along one axis: (places, padding before, padding behind)."""
    if padding == "VALID":
        return (size - taps) // stride + 1, 0, 0
    places = -(-size // stride)
    total = max((places - 1) * stride + taps - size, 0)
    return places, total // 2, total - total // 2
