"""The nouns of int8 inference: a program is a list of kernel calls and where tensors lie.

Parameters have the fields of the C structs in firmware/core/include/microfed/int8.h,
by the same names: whoever makes the structs, in memory or as C text, walks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tflite_models.memory import Memory

RANK = 6  # MF_INT8_RANK

Axes = tuple[int, ...]  # RANK of them, outermost first


@dataclass(frozen=True)
class Activation:
    """A tensor in the arena; reshaped tensors go by the tensor that they are a view of."""

    tensor: int


@dataclass(frozen=True)
class Stored:
    """A constant tensor of the file, used as it lies there."""

    tensor: int


@dataclass(frozen=True, eq=False)
class Derived:
    """A constant that is not in the file."""

    values: NDArray[Any]


Operand = Activation | Stored | Derived


@dataclass(frozen=True)
class Shape:
    """mf_shape."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Window:
    """mf_window."""

    kernel_height: int
    kernel_width: int
    stride_height: int
    stride_width: int
    dilation_height: int
    dilation_width: int
    pad_top: int
    pad_left: int


@dataclass(frozen=True)
class Scale:
    """mf_int8_scale."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class Range:
    """mf_int8_range."""

    zero_point: int
    least: int
    most: int


@dataclass(frozen=True, eq=False)
class Filter:
    """mf_int8_filter."""

    weights: Stored
    bias: Stored | None
    multipliers: Derived
    shifts: Derived


@dataclass(frozen=True)
class Conv:
    """mf_int8_conv."""

    input: Shape
    output: Shape
    window: Window
    depth: int
    input_zero: int
    per_channel: int
    range: Range


@dataclass(frozen=True)
class Dense:
    """mf_int8_dense."""

    rows: int
    inputs: int
    outputs: int
    input_zero: int
    per_channel: int
    range: Range


@dataclass(frozen=True)
class Pool:
    """mf_int8_pool."""

    input: Shape
    output: Shape
    window: Window
    least: int
    most: int


@dataclass(frozen=True)
class MeanAxis:
    """mf_int8_mean_axis."""

    outer: int
    count: int
    inner: int
    input_zero: int
    scale: Scale
    range: Range


@dataclass(frozen=True)
class Pair:
    """mf_int8_pair."""

    length: Axes
    step: tuple[Axes, Axes]


@dataclass(frozen=True)
class Sum:
    """mf_int8_sum."""

    axes: Pair
    sign: int
    zero: tuple[int, int]
    input_scale: tuple[Scale, Scale]
    scale: Scale
    range: Range


@dataclass(frozen=True)
class Product:
    """mf_int8_product."""

    axes: Pair
    zero: tuple[int, int]
    scale: Scale
    range: Range


@dataclass(frozen=True)
class Move:
    """mf_int8_move."""

    length: Axes
    input_start: int
    output_start: int
    input_step: Axes
    output_step: Axes


@dataclass(frozen=True)
class Filling:
    """mf_int8_filling."""

    count: int
    value: int


@dataclass(frozen=True)
class SoftmaxRows:
    """mf_int8_softmax_rows."""

    rows: int
    columns: int
    scale: Scale
    least: int


@dataclass(frozen=True)
class Svdf:
    """mf_int8_svdf_layer."""

    inputs: int
    units: int
    rank: int
    memory: int
    input_zero: int
    feature_scale: Scale
    scale: Scale
    range: Range


@dataclass(frozen=True)
class Count:
    """mf_int8_count."""

    count: int


@dataclass(frozen=True)
class Rescale:
    """mf_int8_rescale."""

    count: int
    input_zero: int
    scale: Scale
    range: Range


@dataclass(frozen=True)
class Real:
    """mf_int8_real."""

    count: int
    zero_point: int
    scale: float


Parameters = (
    Conv
    | Dense
    | Pool
    | MeanAxis
    | Sum
    | Product
    | Move
    | Filling
    | SoftmaxRows
    | Svdf
    | Count
    | Rescale
    | Real
)


@dataclass(frozen=True, eq=False)
class Call:
    """One call: kernel "conv_2d" is mf_int8_conv_2d.

    Its arguments are the parameters, the filter if there is one, the inputs
    and the output; of "lookup" the second input is the table.  "svdf" has its weights among
    the inputs, and a state beside them: units · rank · memory codes of 16 bits.
    """

    kernel: str
    operator: int  # of the graph, for messages and comments
    parameters: Parameters
    inputs: tuple[Operand, ...]
    output: Activation
    filter: Filter | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """What runs, in order, and where the activations lie."""

    calls: tuple[Call, ...]
    memory: Memory
    inputs: tuple[Activation, ...]
    outputs: tuple[Activation, ...]
