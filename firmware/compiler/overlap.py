"""How far a layer's output may overlap its input in memory.

Blacker et al., Saving RAM usage through diagonal memory optimisation, arXiv:2010.01668: a
kernel that goes through its input in order may overwrite what it will not read again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.int8_calls import Conv, Pair, Product, Sum
from firmware.compiler.network import Layer
from firmware.compiler.rounding import Ints

ELEMENTWISE = frozenset({"lookup", "requantize"})


@dataclass(frozen=True)
class Overlap:
    """The output may begin `gap` or more bytes before the input; if exact, just `gap` bytes."""

    gap: int
    exact: bool = False


def overlap_of(layer: Layer, operand: int, *, fast: bool) -> Overlap | None:
    """How the output may overlap an input tensor; None: not at all.

    fast: by a kernel of layers.h, which reads all of a position before it writes there.
    """
    p = layer.call.parameters
    if layer.call.kernel in ELEMENTWISE:
        return Overlap(0)
    if isinstance(p, Sum | Product):
        repeated = is_repeated(p.axes, layer.inputs.index(operand))
        return None if repeated else Overlap(0)
    if not isinstance(p, Conv) or not fast:
        return None
    if layer.call.kernel == "depthwise_conv_2d":
        return Overlap(0, exact=True)
    return Overlap(_window_gap(p))


def is_repeated(axes: Pair, which: int) -> bool:
    """Whether an input is read more than once, or not in the order of the output."""
    expected = 1
    for length, step in reversed(list(zip(axes.length, axes.step[which], strict=True))):
        if length > 1 and step != expected:
            return True
        expected *= length
    return False


def _window_gap(p: Conv) -> int:
    """How far before its input an output must begin that is written position by position."""
    first = _first_read(p)
    later = np.minimum.accumulate(first[::-1])[::-1]
    written = np.arange(1, first.size) * p.output.channels
    return int(max(0, (written - later[1:]).max(initial=0)))


def _first_read(p: Conv) -> Ints:
    """The lowest byte that the window of each position reads, in the order of the positions."""
    w, row = p.window, p.input.width * p.input.channels
    top = _inside(p.output.height, w.stride_height, w.pad_top, w.dilation_height)
    left = _inside(p.output.width, w.stride_width, w.pad_left, w.dilation_width)
    return (top[:, None] * row + left * p.input.channels).ravel()


def _inside(count: int, stride: int, pad: int, dilation: int) -> Ints:
    """The first tap of each window along one axis that is not padding."""
    first = np.arange(count) * stride - pad
    return np.where(first < 0, first % dilation, first)
