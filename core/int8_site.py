"""One operator in its graph, and the questions that lowering it asks."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import Activation, Call, Parameters, Range, Scale, Shape, Stored
from core.int8_numbers import bounds_of, multiplier_of
from tflite_models.graph import Graph, Operator, Tensor


class Site:
    """One operator in its graph, and the questions that lowering it asks.

    The questions raise ValueError with what is wrong; `lower` adds where.
    """

    def __init__(self, graph: Graph, operator: Operator, views: dict[int, int]) -> None:
        self._graph = graph
        self._views = views
        self.operator = operator
        self.options: Any = operator.options
        for i in (*operator.inputs, *operator.outputs):
            if i >= 0 and graph.tensors[i].nbytes == 0:
                raise ValueError(f"tensor {i} is empty")

    def input(self, k: int = 0) -> Tensor:
        """The k-th input, present."""
        if k >= len(self.operator.inputs) or self.operator.inputs[k] < 0:
            raise ValueError(f"input {k} is missing")
        return self._graph.tensors[self.operator.inputs[k]]

    @property
    def output(self) -> Tensor:
        """The only output."""
        if len(self.operator.outputs) != 1:
            raise ValueError(f"{len(self.operator.outputs)} outputs: 1 is allowed")
        return self._graph.tensors[self.operator.outputs[0]]

    def operand(self, tensor: Tensor) -> Activation | Stored:
        """Where the kernel finds a tensor."""
        if tensor.data is not None:
            return Stored(tensor.index)
        return Activation(self._views.get(tensor.index, tensor.index))

    def constant(self, k: int, kind: str) -> NDArray[Any]:
        """The data of the k-th input, which must be constant and of a type."""
        tensor = self.input(k)
        if tensor.data is None or tensor.dtype != np.dtype(kind):
            raise ValueError(f"input {k} must be a constant of {kind}")
        return tensor.data

    def call(self, kernel: str, parameters: Parameters, *tensors: Tensor, **more: Any) -> Call:
        """The call of a kernel on tensors (without any: the first input) to the output."""
        inputs = tuple(self.operand(t) for t in tensors or (self.input(),))
        output = self.operand(self.output)
        assert isinstance(output, Activation)
        return Call(kernel, self.operator.index, parameters, inputs, output, **more)


def coding(tensor: Tensor) -> tuple[np.float32, int]:
    """Scale and zero point of an int8 tensor."""
    if tensor.dtype != np.int8:
        name = tensor.dtype.name
        raise ValueError(f"tensor {tensor.index} ({tensor.name!r}) is {name}: int8 is allowed")
    return byte_coding(tensor)


def byte_coding(tensor: Tensor) -> tuple[np.float32, int]:
    """Scale and zero point of an int8 or uint8 tensor."""
    q, kind = tensor.quantization, tensor.dtype
    if kind not in (np.int8, np.uint8) or q is None or q.scale.size != 1:
        raise ValueError(
            f"tensor {tensor.index} ({tensor.name!r}) is not int8 or uint8 with one scale"
        )
    zero_point = int(q.zero_point[0])
    if not np.iinfo(kind).min <= zero_point <= np.iinfo(kind).max:
        raise ValueError(f"tensor {tensor.index} has zero point {zero_point}: not a code")
    return q.scale[0], zero_point


def range_of(tensor: Tensor, activation: str = "NONE") -> Range:
    """How an int8 output is clamped."""
    scale, zero_point = coding(tensor)
    return Range(zero_point, *bounds_of(activation, scale, zero_point))


def scale_of(real: float) -> Scale:
    """A change of scale."""
    return Scale(*multiplier_of(real))


def same_coding(site: Site, *tensors: Tensor) -> None:
    """Raise ValueError unless the tensors are int8 with the output's scale and zero point."""
    for tensor in tensors:
        if coding(tensor) != coding(site.output):
            raise ValueError(f"tensor {tensor.index} is coded differently from the output")


def image(tensor: Tensor) -> Shape:
    """One sample of a tensor of rank 4."""
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or not prod(tensor.shape):
        raise ValueError(f"tensor {tensor.index} has shape {tensor.shape}: (1, h, w, c) is allowed")
    return Shape(*tensor.shape[1:])
