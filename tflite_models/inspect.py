"""What a .tflite file asks of a device: operators, MACs, sparsity, flash and RAM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tflite_models.graph import Graph, Operator, Tensor, read_graph
from tflite_models.memory import Memory, plan_memory

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

Role = Literal["weight", "bias", "constant", "activation"]


@dataclass(frozen=True)
class OperatorSummary:
    """One operator; a multiply-accumulate is counted at padded borders too."""

    index: int
    name: str
    output: tuple[int, ...]  # shape of its first output
    macs: int


@dataclass(frozen=True)
class TensorSummary:
    """One tensor."""

    index: int
    name: str
    role: Role
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    scales: int  # 0: not quantised; 1: per tensor; more: per channel
    scale: float | None  # the first
    zero_point: int | None  # the first
    zeros: int | None  # of a weight: how many are exactly zero

    @property
    def sparsity(self) -> float | None:
        """The share of zeros of a weight."""
        return None if self.zeros is None else self.zeros / max(prod(self.shape), 1)


@dataclass(frozen=True)
class Summary:
    """A whole file.  Sizes are bytes; activations are not computed in place (memory.py)."""

    operators: tuple[OperatorSummary, ...]
    tensors: tuple[TensorSummary, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int
    weights: int  # elements of the weight tensors, biases not among them
    parameters: int  # the same with biases: what an update carries if nothing is pruned
    zeros: int  # weights that are exactly zero
    weight_bytes: int  # of weights and biases
    flash_bytes: int  # of the file
    memory: Memory
    state_bytes: int  # of tensors that last from one input to the next

    @property
    def sparsity(self) -> float:
        """The share of all weights that is exactly zero."""
        return self.zeros / max(self.weights, 1)

    @property
    def peak_ram(self) -> int:
        """Bytes of activations under the plan, and of what lasts."""
        return self.memory.size + self.state_bytes


def summarize(file: bytes) -> Summary:
    """Look through a file.  Raises ModelError for what `read_graph` refuses."""
    graph = read_graph(file)
    roles = _roles(graph)
    operators = tuple(_operator(graph, operator) for operator in graph.operators)
    tensors = tuple(_tensor(t, roles.get(t.index)) for t in graph.tensors)
    weights = [t for t in tensors if t.role == "weight"]
    trained = [t for t in tensors if t.role in ("weight", "bias")]
    return Summary(
        operators=operators,
        tensors=tensors,
        inputs=graph.inputs,
        outputs=graph.outputs,
        macs=sum(o.macs for o in operators),
        weights=sum(prod(t.shape) for t in weights),
        parameters=sum(prod(t.shape) for t in trained),
        zeros=sum(t.zeros or 0 for t in weights),
        weight_bytes=sum(t.bytes for t in trained),
        flash_bytes=graph.size,
        memory=plan_memory(graph),
        state_bytes=sum(t.nbytes for t in graph.tensors if t.is_state),
    )


def multiplications(graph: Graph) -> Iterator[tuple[Operator, int]]:
    """Every operator with weights, in graph order, and its multiply-accumulates."""
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]].shape if operator.outputs else ()
        if macs := _macs(graph, operator, output):
            yield operator, macs


def _roles(graph: Graph) -> dict[int, Role]:
    """Which constants are weights and biases."""
    names: tuple[Role, Role] = ("weight", "bias")
    return {
        index: role
        for operator in graph.operators
        if operator.name in _WEIGHTED
        for role, index in zip(names, operator.inputs[1:3], strict=False)
        if index >= 0 and graph.tensors[index].data is not None
    }


def _operator(graph: Graph, operator: Operator) -> OperatorSummary:
    output = graph.tensors[operator.outputs[0]].shape if operator.outputs else ()
    return OperatorSummary(operator.index, operator.name, output, _macs(graph, operator, output))


def _macs(graph: Graph, operator: Operator, output: tuple[int, ...]) -> int:
    """Multiply-accumulates: outputs × the weights that one output reads."""
    if operator.name not in _WEIGHTED or len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return 0
    shape = graph.tensors[operator.inputs[1]].shape
    each = prod(shape[1:3]) if operator.name == "DEPTHWISE_CONV_2D" else prod(shape[1:])
    return prod(output) * each


def _tensor(tensor: Tensor, role: Role | None) -> TensorSummary:
    found = tensor.quantization
    return TensorSummary(
        index=tensor.index,
        name=tensor.name,
        role=role or ("activation" if tensor.data is None else "constant"),
        shape=tensor.shape,
        dtype=tensor.dtype.name,
        bytes=tensor.nbytes,
        scales=0 if found is None else found.scale.size,
        scale=None if found is None else float(found.scale[0]),
        zero_point=None if found is None else int(found.zero_point[0]),
        zeros=_zeros(tensor.data) if role == "weight" and tensor.data is not None else None,
    )


def _zeros(data: NDArray[Any]) -> int:
    return int(data.size - np.count_nonzero(data))
