"""Where each trainable tensor of an int8 file lies in the flat parameter vector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from tflite_models.errors import ModelError
from tflite_models.graph import Graph, Operator, Quantization, Tensor, unsupported

_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_RANK = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 2}


@dataclass(frozen=True)
class Slot:
    """Where one tensor lies in the vector: codes [start, stop), its weight's scales likewise."""

    tensor: int
    start: int
    stop: int
    shape: tuple[int, ...]
    axis: int  # along which there is a scale for each index, if there is more than one
    scale_start: int
    scale_stop: int
    kind: Literal["weight", "bias"]
    input_scale: float  # of the operator's input; a bias' scale is this times its weight's
    weight: int  # of a bias: the index of its weight's slot; else −1


@dataclass(frozen=True, eq=False)
class Layout:
    """The agreed order: `size` codes, `scales` weight scales.

    `mask` (size,) is True where training may change a parameter and False
    for pruned weights: those that are exactly zero in the base file.
    """

    slots: tuple[Slot, ...]
    size: int
    scales: int
    mask: NDArray[np.bool_]

    @cached_property
    def channels(self) -> NDArray[np.int32]:
        """Which scale each parameter has, (size,); a bias' scale goes with its weight's."""
        found = np.empty(self.size, np.int32)
        for slot in self.slots:
            own = np.arange(slot.scale_start, slot.scale_stop, dtype=np.int32)
            along = [-1 if i == slot.axis else 1 for i in range(len(slot.shape))]
            shaped = own if own.size == 1 else own.reshape(along)
            found[slot.start : slot.stop] = np.broadcast_to(shaped, slot.shape).reshape(-1)
        return found


def layout_of(graph: Graph) -> Layout:
    """The layout of a file's parameters.

    Operators in graph order, weight before bias, a tensor that two operators
    share once.  Layers whose weights are computed, not constant, have none.
    Raises UnsupportedModel for a convolution or fully connected layer that is
    not int8 with symmetric int8 weights and an int32 bias, and ModelError
    when trainable tensors share bytes of the file (strip() separates them).
    """
    builder = _Builder(graph)
    for operator in graph.operators:
        if operator.name in _CHANNEL_AXIS:
            builder.add(operator)
    _check_disjoint(graph, builder.slots)
    mask = np.ones(builder.size, np.bool_)
    for slot in builder.slots:
        if slot.kind == "weight":
            mask[slot.start : slot.stop] = constant(graph, slot).reshape(-1) != 0
    return Layout(tuple(builder.slots), builder.size, builder.scales, mask)


def constant(graph: Graph, slot: Slot) -> NDArray[Any]:
    """The codes of a slot in the file that its layout was made from."""
    data = graph.tensors[slot.tensor].data
    assert data is not None
    return data


def quantization(graph: Graph, slot: Slot) -> Quantization:
    """The scales of a slot in the file that its layout was made from."""
    found = graph.tensors[slot.tensor].quantization
    assert found is not None
    return found


class _Builder:
    """Lays tensors out one after the other, each once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._index: dict[int, int] = {}  # tensor: its slot
        self.slots: list[Slot] = []
        self.size = 0
        self.scales = 0

    def add(self, operator: Operator) -> None:
        x, w, b = (*operator.inputs, -1, -1, -1)[:3]
        if x < 0 or w < 0:
            raise unsupported(self._graph, operator, "its input or its weights are missing")
        weight = self._graph.tensors[w]
        if weight.data is None:
            return
        scale = self._input_scale(operator, self._graph.tensors[x])
        slot = self._weight(operator, weight, scale)
        if b >= 0:
            self._bias(operator, self._graph.tensors[b], scale, slot)

    def _input_scale(self, operator: Operator, source: Tensor) -> float:
        per_tensor = source.quantization is not None and source.quantization.scale.size == 1
        if source.dtype != np.int8 or source.quantization is None or not per_tensor:
            raise unsupported(self._graph, operator, "its input is not int8 with one scale")
        return float(source.quantization.scale[0])

    def _weight(self, operator: Operator, weight: Tensor, input_scale: float) -> int:
        axis = _CHANNEL_AXIS[operator.name]
        found = weight.quantization
        if weight.dtype != np.int8 or found is None or found.zero_point.any():
            raise unsupported(self._graph, operator, "its weights are not symmetric int8")
        if len(weight.shape) != _RANK[operator.name] or 0 in weight.shape:
            raise unsupported(self._graph, operator, f"its weights have shape {weight.shape}")
        if found.scale.size > 1 and found.axis != axis:
            raise unsupported(self._graph, operator, f"its scales run along axis {found.axis}")
        if weight.index not in self._index:
            self._index[weight.index] = len(self.slots)
            codes = self.size, self.size + prod(weight.shape)
            scales = self.scales, self.scales + found.scale.size
            self._append(
                Slot(weight.index, *codes, weight.shape, axis, *scales, "weight", input_scale, -1)
            )
        slot = self.slots[self._index[weight.index]]
        if slot.axis != axis:
            raise unsupported(self._graph, operator, "another layer uses its weights differently")
        return self._index[weight.index]

    def _bias(self, operator: Operator, bias: Tensor, input_scale: float, weight: int) -> None:
        of = self.slots[weight]
        found, scales = bias.quantization, (of.scale_start, of.scale_stop)
        if bias.data is None or bias.dtype != np.int32 or bias.shape != (of.shape[of.axis],):
            raise unsupported(self._graph, operator, "its bias is not one int32 for each channel")
        if found is None or found.zero_point.any() or found.scale.size != scales[1] - scales[0]:
            raise unsupported(self._graph, operator, "its bias does not have its weights' scales")
        if bias.index not in self._index:
            self._index[bias.index] = len(self.slots)
            codes = self.size, self.size + prod(bias.shape)
            self._append(
                Slot(bias.index, *codes, bias.shape, 0, *scales, "bias", input_scale, weight)
            )
        slot = self.slots[self._index[bias.index]]
        if (slot.weight, slot.input_scale) != (weight, input_scale):
            raise unsupported(self._graph, operator, "it shares its bias with another layer")

    def _append(self, slot: Slot) -> None:
        self.slots.append(slot)
        self.size = slot.stop
        self.scales = max(self.scales, slot.scale_stop)


def _check_disjoint(graph: Graph, slots: list[Slot]) -> None:
    """Raise ModelError when writing one tensor's codes or scales would write another's."""
    spans = sorted(
        (*byte_bounds(array), slot.tensor)
        for slot in slots
        for array in (constant(graph, slot), quantization(graph, slot).scale)
    )
    for (_, stop, one), (start, _, other) in pairwise(spans):
        if start < stop:
            raise ModelError(f"tensor {other}", f"shares its bytes with tensor {one}")
