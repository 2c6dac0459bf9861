"""Which kernel each layer gets, and the constants that it gets with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from core.int8_calls import Conv, Dense, Range, Sum
from firmware.compiler.network import Layer, Weights
from firmware.compiler.overlap import is_repeated
from firmware.compiler.pack import fits_pairs, is_better_sparse
from firmware.compiler.rounding import Ints, Once
from firmware.compiler.scales import DEPTHWISE, SUMS, Form, Line, fit_line
from firmware.compiler.sums import WeightedSum, weighted_sum

# of what is left of the 32 bits of a sum after it is shifted left
_MOST_SUM = {"conv": 1 << (31 - SUMS.lift), "depthwise": 1 << (31 - DEPTHWISE.lift)}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A layer for a kernel of microfed/layers.h: "conv", "depthwise" or "dense".

    bias: (outputs,), with the input's zero point folded in.  line None: sums are rounded as the
    weights say, which is twice.
    """

    kind: str
    bias: Ints
    line: Line | None
    scratch: int  # bytes
    sparse: bool = False


@dataclass(frozen=True, eq=False)
class PreparedSum:
    """A layer for mf_layer_sum."""

    count: int
    sum: WeightedSum
    scratch: int = 0


def prepare(layer: Layer, *, stable: bool = False) -> Prepared | PreparedSum | None:
    """What a fast kernel needs; None if none does this layer, which then takes int8.h's.

    stable: choose nothing by the values of weights and scales, because they will change.
    """
    p, weights = layer.call.parameters, layer.weights
    if isinstance(p, Sum):
        return _prepare_sum(layer, p)
    if weights is None or not isinstance(p, Conv | Dense):
        return None
    kind = _kind(layer)
    return None if kind is None else _prepare_products(kind, p, weights, stable=stable)


def _prepare_products(
    kind: str, p: Conv | Dense, weights: Weights, *, stable: bool
) -> Prepared | None:
    rows = weights.codes.reshape(len(weights.codes), -1).astype(np.int64)
    least = np.minimum(rows * -128, rows * 127).sum(axis=1)
    most = np.maximum(rows * -128, rows * 127).sum(axis=1)
    room = _MOST_SUM["depthwise" if kind == "depthwise" else "conv"]
    if max(-least.min(), most.max()) >= room or (kind != "depthwise" and not fits_pairs(weights)):
        return None
    # modulo 2^32, as an accumulator does
    bias = (weights.bias - p.input_zero * rows.sum(axis=1) + 2**31) % 2**32 - 2**31
    form = DEPTHWISE if kind == "depthwise" else SUMS
    line = None if stable else _line(form, weights, bias, p.range, least, most)
    if line is None and isinstance(weights.rounding, Once):
        return None
    if (
        not stable
        and kind != "depthwise"
        and is_better_sparse(weights.codes.reshape(len(rows), -1), kind)
    ):
        scratch = 16 * rows.shape[1] if kind == "conv" else 0
        return Prepared(kind, bias, line, scratch, sparse=True)
    return Prepared(kind, bias, line, _scratch(kind, p))


def _prepare_sum(layer: Layer, p: Sum) -> PreparedSum | None:
    if len(layer.reads) != 2 or is_repeated(p.axes, 0) or is_repeated(p.axes, 1):
        return None
    found = weighted_sum(p)
    return None if found is None else PreparedSum(prod(p.axes.length), found)


def _line(
    form: Form, weights: Weights, bias: Ints, limits: Range, least: Ints, most: Ints
) -> Line | None:
    if (np.abs(bias) + np.maximum(-least, most) >= 2**31).any():
        return None  # sums may wrap around; the kernel that rounds twice lets them
    return fit_line(form, bias, weights.rounding, limits, least, most)


def _kind(layer: Layer) -> str | None:
    p = layer.call.parameters
    if isinstance(p, Dense):
        return "dense" if p.rows == 1 else None
    assert isinstance(p, Conv)
    if p.window.dilation_height > 1 or p.window.dilation_width > 1:
        return None
    if layer.call.kernel == "conv_2d":
        return "conv" if p.depth == p.input.channels else None
    return "depthwise" if p.depth == 1 else None


def _scratch(kind: str, p: Conv | Dense) -> int:
    """What the kernel of every path has enough with."""
    if not isinstance(p, Conv):
        return 0
    w = p.window
    if kind == "conv":
        return 6 * (-(-w.kernel_height * w.kernel_width * p.input.channels // 4) * 4)
    columns = (p.output.width - 1) * w.stride_width + w.kernel_width
    rows = (p.output.height - 1) * w.stride_height + w.kernel_height
    one_plane = 2 * rows * ((columns + 2) // 2 * 2)
    four_planes = 4 * (rows * columns + w.kernel_height * w.kernel_width)
    return max(one_plane, four_planes)
