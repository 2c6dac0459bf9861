"""From an operator of the file to an operator of the twin: one builder each, which checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from device_sim.twin.conv import Conv2D
from device_sim.twin.dense import Dense
from device_sim.twin.depthwise import DepthwiseConv2D
from device_sim.twin.join import Place
from device_sim.twin.op import Op
from device_sim.twin.pool import AveragePool, MaxPool, Mean
from device_sim.twin.simple import Add, Mul, Reshape
from device_sim.twin.window import Window, window
from tflite_models.errors import UnsupportedModel
from tflite_models.graph import Graph, Operator, unsupported

Built = tuple[Op, tuple[int, ...], tuple[int, ...]]  # operator, input tensors, slots


@dataclass(frozen=True)
class Site:
    """An operator where it stands in its graph."""

    graph: Graph
    operator: Operator
    slots: Mapping[int, int]  # tensor: number of its slot in the layout
    learned: frozenset[int]  # tensors that depend on parameters

    @property
    def first(self) -> bool:
        """Whether none of the inputs depends on a parameter."""
        return not self.learned.intersection(self.operator.inputs)

    def refuse(self, what: str) -> UnsupportedModel:
        """The error that names this operator."""
        return unsupported(self.graph, self.operator, what)

    def input(self, place: int) -> tuple[int, ...]:
        """The shape of an activation that the operator reads, without the batch."""
        tensor = self.graph.tensors[self.operator.inputs[place]]
        if tensor.data is not None:
            raise self.refuse(f"input {place} is a constant: an activation is allowed")
        return tensor.shape[1:]

    def image(self) -> tuple[int, int, int]:
        """Height, width and channels of the first input."""
        shape = self.input(0)
        if len(shape) != 3:
            raise self.refuse(f"input of shape {shape}: height, width and channels are allowed")
        return shape

    def output(self) -> tuple[int, ...]:
        """The shape of what the operator writes, without the batch."""
        return self.graph.tensors[self.operator.outputs[0]].shape[1:]

    def expect(self, shape: tuple[int, ...]) -> None:
        """Refuse unless the file says the same shape of the output."""
        if self.output() != shape or min(shape, default=1) < 1:
            raise self.refuse(f"output of shape {self.output()}, where the inputs give {shape}")

    def params(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shape of the weights, which must have `rank`; and the slots of weights and bias."""
        tensors = [i for i in self.operator.inputs[1:3] if i >= 0]
        for tensor in tensors:
            if tensor not in self.slots:
                raise self.refuse(f"tensor {tensor} is not among the parameters of the layout")
        shape = self.graph.tensors[tensors[0]].shape
        if len(shape) != rank:
            raise self.refuse(f"weights of shape {shape}: {rank} axes are allowed")
        return shape, tuple(self.slots[tensor] for tensor in tensors)

    def window(self, height: int, width: int) -> Window:
        """The window of a filter of this size, with the operator's strides and padding."""
        options = self.operator.options
        for key in ("dilation_h", "dilation_w"):
            if options.get(key, 1) != 1:
                raise self.refuse(f"{key} {options[key]}: 1 is allowed")
        stride = (_whole(options["stride_h"]), _whole(options["stride_w"]))
        return window(self.image()[:2], (height, width), stride, str(options["padding"]))


def _whole(value: object) -> int:
    assert isinstance(value, int)  # the reader's contract for these options
    return value


def _conv(site: Site) -> Built:
    (out, height, width, channels), slots = site.params(4)
    if channels != site.image()[2]:
        raise site.refuse(
            f"{channels} channels a filter of {site.image()[2]}: groups are not known"
        )
    frame = site.window(height, width)
    site.expect((frame.out_h, frame.out_w, out))
    return Conv2D(frame, site.first), site.operator.inputs[:1], slots


def _depthwise(site: Site) -> Built:
    (_, height, width, channels), slots = site.params(4)
    multiplier, rest = divmod(channels, site.image()[2])
    if rest:
        raise site.refuse(f"{channels} filters for {site.image()[2]} channels")
    frame = site.window(height, width)
    site.expect((frame.out_h, frame.out_w, channels))
    return DepthwiseConv2D(frame, multiplier, site.first), site.operator.inputs[:1], slots


def _dense(site: Site) -> Built:
    (out, into), slots = site.params(2)
    rows, rest = divmod(prod(site.input(0)), into)
    if rest or prod(site.output()) != rows * out:
        raise site.refuse(f"{site.input(0)} → {site.output()} with weights ({out}, {into})")
    return Dense(site.output(), site.first), site.operator.inputs[:1], slots


def _pool(site: Site) -> Built:
    options = site.operator.options
    frame = site.window(_whole(options["filter_h"]), _whole(options["filter_w"]))
    site.expect((frame.out_h, frame.out_w, site.image()[2]))
    kind = AveragePool if site.operator.name == "AVERAGE_POOL_2D" else MaxPool
    return kind(frame), site.operator.inputs[:1], ()


def _mean(site: Site) -> Built:
    height, width, channels = site.image()
    axes = site.graph.tensors[site.operator.inputs[1]].data
    found = None if axes is None else sorted(int(axis) % 4 for axis in axes.ravel())
    if found != [1, 2]:
        raise site.refuse(f"axes {found}: height and width, [1, 2], are allowed")
    keep = bool(site.operator.options["keep_dims"])
    site.expect((1, 1, channels) if keep else (channels,))
    return Mean(height, width, keep), site.operator.inputs[:1], ()


def _pair(site: Site) -> Built:
    if site.input(0) != site.input(1):
        raise site.refuse(f"shapes {site.input(0)} and {site.input(1)}: they must be equal")
    site.expect(site.input(0))
    return (Add() if site.operator.name == "ADD" else Mul()), site.operator.inputs, ()


def _concatenation(site: Site) -> Built:
    shapes = [site.input(place) for place in range(len(site.operator.inputs))]
    rank = len(shapes[0])
    axis = _whole(site.operator.options["axis"]) % (rank + 1) - 1  # within a sample
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if axis < 0 or len(rest) != 1 or {len(shape) for shape in shapes} != {rank}:
        raise site.refuse(f"shapes {shapes} along axis {axis + 1}")
    *starts, end = accumulate((shape[axis] for shape in shapes), initial=0)
    corners = tuple((*(0,) * axis, start, *(0,) * (rank - axis - 1)) for start in starts)
    site.expect((*shapes[0][:axis], end, *shapes[0][axis + 1 :]))
    return Place(site.output(), corners), site.operator.inputs, ()


def _pad(site: Site) -> Built:
    shape, amounts = site.input(0), site.graph.tensors[site.operator.inputs[1]].data
    if amounts is None or amounts.shape != (len(shape) + 1, 2) or amounts.min() < 0:
        raise site.refuse("padding that is no constant pair of numbers ≥ 0 for each axis")
    batch, *axes = amounts.tolist()
    if any(batch):
        raise site.refuse(f"padding {batch} of the batch: none is allowed")
    site.expect(tuple(n + before + behind for n, (before, behind) in zip(shape, axes, strict=True)))
    corner = tuple(before for before, _ in axes)
    return Place(site.output(), (corner,)), site.operator.inputs[:1], ()


def _reshape(site: Site) -> Built:
    if prod(site.input(0)) != prod(site.output()):
        raise site.refuse(f"{site.input(0)} → {site.output()} within a sample")
    return Reshape(site.input(0), site.output()), site.operator.inputs[:1], ()


def _same(site: Site) -> Built:
    site.expect(site.input(0))
    return _reshape(site)


BUILDERS: Mapping[str, Callable[[Site], Built]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "ADD": _pair,
    "MUL": _pair,
    "CONCATENATION": _concatenation,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "RELU": _same,
    "RELU6": _same,
    "QUANTIZE": _same,
    "DEQUANTIZE": _same,
}
