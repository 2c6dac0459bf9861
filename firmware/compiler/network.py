"""The nouns of the compiler: a network is a list of layers and the tensors between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import Activation, Call, Derived, Stored, Svdf
from core.int8_lower import lower
from firmware.compiler.names import Namer
from firmware.compiler.rounding import Ints, Once, Rounding, Twice
from tflite_models.errors import ModelError
from tflite_models.graph import Graph

DTYPES = ("int8", "uint8", "float32")


@dataclass(frozen=True)
class Tensor:
    """What lies in the arena between two layers."""

    index: int  # of the graph; other numbers are the compiler's own
    shape: tuple[int, ...]  # without the leading 1 of a batch
    bytes: int
    dtype: str = "int8"


@dataclass(frozen=True, eq=False)
class Weights:
    """The constants of a layer that sums up products, one row for each output channel.

    codes: (outputs, *kernel), int8; a convolution's kernel is height × width × inputs, a
    depthwise one's height × width, a fully connected layer's inputs.  bias: (outputs,), as the
    exact computation uses it; it does not hold the zero point yet.
    """

    codes: NDArray[np.int8]
    bias: Ints
    rounding: Rounding


@dataclass(frozen=True, eq=False)
class Constant:
    """A second operand that is not in the arena: an addend, a table."""

    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """One kernel call.  `call` holds its kernel and parameters; its operands are here."""

    name: str  # an identifier, unique in the network
    call: Call
    inputs: tuple[int | Constant, ...]  # tensors by index
    output: int
    weights: Weights | None = None

    @property
    def state_bytes(self) -> int:
        """Bytes that last from one input to the next."""
        p = self.call.parameters
        return 2 * p.units * p.rank * p.memory if isinstance(p, Svdf) else 0

    @property
    def reads(self) -> tuple[int, ...]:
        """The tensors among the inputs."""
        return tuple(i for i in self.inputs if isinstance(i, int))


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in the order in which they run; every tensor is written before it is read."""

    layers: tuple[Layer, ...]
    tensors: dict[int, Tensor]
    input: int
    output: int


def read_network(graph: Graph, *, single: bool = False) -> Network:
    """The network of a graph with one input and one output.

    single: fully connected layers round once, as LiteRT's reference kernels do.

    Raises UnsupportedModel for an operator that no kernel does, ModelError for more inputs.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError("graph", "one input and one output are allowed")
    program = lower(graph)
    namer = Namer(graph)
    layers = tuple(
        Layer(
            namer.layer(call),
            call,
            tuple(_operand(graph, operand) for operand in call.inputs),
            call.output.tensor,
            _weights(graph, call, single=single),
        )
        for call in program.calls
    )
    used = {i for layer in layers for i in (*layer.reads, layer.output)}
    used |= {program.inputs[0].tensor, program.outputs[0].tensor}
    tensors = {i: _tensor(graph, i) for i in sorted(used)}
    network = Network(layers, tensors, program.inputs[0].tensor, program.outputs[0].tensor)
    if network.output not in {layer.output for layer in layers}:
        raise ModelError("graph", "the output is the input, or a constant: nothing to compile")
    return network


def _tensor(graph: Graph, index: int) -> Tensor:
    tensor = graph.tensors[index]
    if tensor.dtype.name not in DTYPES:
        allowed = ", ".join(DTYPES)
        raise ModelError("graph", f"tensor {index} is {tensor.dtype.name}: {allowed} are allowed")
    shape = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    return Tensor(index, shape, tensor.nbytes, tensor.dtype.name)


def _operand(graph: Graph, operand: Activation | Stored | Derived) -> int | Constant:
    if isinstance(operand, Activation):
        return operand.tensor
    if isinstance(operand, Stored):
        data = graph.tensors[operand.tensor].data
        assert data is not None
        return Constant(data)
    return Constant(operand.values)


def _weights(graph: Graph, call: Call, *, single: bool) -> Weights | None:
    if call.filter is None:
        return None
    codes = graph.tensors[call.filter.weights.tensor].data
    assert codes is not None
    if call.kernel == "depthwise_conv_2d":
        codes = np.moveaxis(codes[0], -1, 0)
    outputs = len(codes)
    bias = np.zeros(outputs, np.int64)
    if call.filter.bias is not None:
        stored = graph.tensors[call.filter.bias.tensor].data
        assert stored is not None
        bias = stored.reshape(-1).astype(np.int64)
    if single and call.kernel == "fully_connected":
        scales = np.broadcast_to(_scales(graph, call), outputs)
        return Weights(codes, bias, Once(scales))
    multipliers = np.broadcast_to(call.filter.multipliers.values, outputs).astype(np.int64)
    shifts = np.broadcast_to(call.filter.shifts.values, outputs).astype(np.int64)
    return Weights(codes, bias, Twice(multipliers, shifts))


def _scales(graph: Graph, call: Call) -> NDArray[np.float64]:
    """What the sums of a layer are multiplied by, for each channel or for all."""
    operator = graph.operators[call.operator]
    source, weights, target = (
        graph.tensors[i].quantization for i in (*operator.inputs[:2], operator.outputs[0])
    )
    assert source is not None
    assert weights is not None
    assert target is not None
    return np.asarray(float(source.scale[0]) * weights.scale.astype(float) / float(target.scale[0]))
