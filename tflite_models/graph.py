"""An int8 .tflite file as a small graph: tensors, operators in execution order, constants.

Reading trusts nothing: any bytes give a Graph or a ModelError, in time and
memory linear in their length.  Arrays are views of the bytes that were read,
never copies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from tflite_models.errors import ModelError, UnsupportedModel
from tflite_models.options import Value, options_of

MAX_RANK = 8
MAX_TABLES = 20_000  # tensors, operators: far beyond what a microcontroller runs
MAX_TENSOR_BYTES = 2**28

_CODES: dict[int, str] = {
    v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)
}
_TYPES: dict[int, str] = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
_DTYPES = {
    name: np.dtype(name.lower())
    for name in (
        *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
        *("FLOAT16", "FLOAT32", "FLOAT64"),
    )
}


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = scale · (code − zero_point), one pair for the tensor or one per slice along `axis`."""

    scale: NDArray[np.float32]  # (1,) or (shape[axis],); allowed_scales
    zero_point: NDArray[np.int64]  # as long as scale
    axis: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the graph; a constant when it has data."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: Quantization | None
    data: NDArray[Any] | None  # of `shape`; read-only when the file was given as bytes
    buffer: int
    is_state: bool = False  # lasts from one input to the next; zero at first

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes in memory."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Operator:
    """One step of execution.  An input of −1 is absent (a convolution without bias).

    `options` holds what options.py lists for the operator, all keys present;
    nothing for operators that it does not list.
    """

    index: int
    name: str  # the schema's: "CONV_2D"; of a custom operator "CUSTOM:" and its own name
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Value]


@dataclass(frozen=True, eq=False)
class Graph:
    """The only subgraph of a file of `size` bytes.

    Every operator reads only constants, graph inputs and what operators
    before it wrote; every tensor is written at most once.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    size: int


def allowed_scales(scales: NDArray[np.float32]) -> bool:
    """Whether all lie between 2^-63 and 2^63: the product of two neither vanishes nor overflows."""
    return bool(((scales >= 2.0**-63) & (scales <= 2.0**63)).all())


def unsupported(graph: Graph, operator: Operator, what: str) -> UnsupportedModel:
    """The error for an operator that the caller cannot do, with its tensors' names."""
    used = [i for i in operator.inputs + operator.outputs if i >= 0]
    names = tuple(graph.tensors[i].name for i in used)
    return UnsupportedModel(operator.name, operator.index, names, what)


def read_graph(data: bytes | bytearray) -> Graph:
    """Read a .tflite file.

    Of a bytearray the graph's arrays are writable views: writing patches the
    file.  Raises ModelError for anything that is not a whole, consistent file
    with one subgraph and dense tensors, UnsupportedModel for an operator
    other than SVDF that keeps a state.
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ModelError("file", f"not a .tflite file ({len(data)} bytes, no TFL3 at byte 4)")
    reader = _Reader(data)
    tensors = tuple(reader.tensor(i) for i in range(reader.count("Tensors")))
    operators = tuple(reader.operator(i, len(tensors)) for i in range(reader.count("Operators")))
    with place("graph"):
        inputs = reader.indices(reader.subgraph.InputsAsNumpy(), len(tensors), least=0)
        outputs = reader.indices(reader.subgraph.OutputsAsNumpy(), len(tensors), least=0)
    graph = Graph(tensors, operators, inputs, outputs, len(data))
    _check_states(graph)
    _check_order(graph)
    return graph


@contextmanager
def place(where: str) -> Iterator[None]:
    """Turn what the schema library raises on damaged bytes into a ModelError that says where."""
    try:
        yield
    except (struct.error, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(where, str(error)) from error


class _Reader:
    """Reads tables of one file within a budget: tables that overlap cannot make it slow."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._budget = 2 * len(data)
        with place("file"):
            self._model = schema.Model.GetRootAs(data)
            if self._model.Version() != 3:
                raise ValueError(f"schema version {self._model.Version()}: 3 is allowed")
            if self._model.SubgraphsLength() != 1:
                raise ValueError(f"{self._model.SubgraphsLength()} subgraphs: 1 is allowed")
            self.subgraph = self._model.Subgraphs(0)

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise ValueError("tables overlap: the file is damaged")

    def count(self, what: str) -> int:
        with place("graph"):
            n = int(getattr(self.subgraph, what + "Length")())
            if n > MAX_TABLES:
                raise ValueError(f"{n} {what.lower()}: at most {MAX_TABLES} are allowed")
            return n

    def _vector(self, raw: Any) -> NDArray[Any]:
        """What an AsNumpy accessor gave; the schema gives 0 for an absent vector."""
        if not isinstance(raw, np.ndarray):
            return np.zeros(0, np.int64)
        self._spend(raw.nbytes)
        return raw

    def _text(self, raw: bytes | None) -> str:
        self._spend(len(raw or b""))
        return (raw or b"").decode()

    def indices(self, raw: Any, n: int, *, least: int) -> tuple[int, ...]:
        values = tuple(self._vector(raw).tolist())
        for value in values:
            if not least <= value < n:
                raise ValueError(f"tensor {value} of {n}")
        return values

    def tensor(self, index: int) -> Tensor:
        with place(f"tensor {index}"):
            table = self.subgraph.Tensors(index)
            name = self._text(table.Name())
            shape = self._shape(table)
            kind = _TYPES.get(table.Type(), str(table.Type()))
            if kind not in _DTYPES:
                raise ValueError(f"type {kind}: allowed are {', '.join(_DTYPES)}")
            if table.Sparsity() is not None or table.ExternalBuffer():
                raise ValueError("sparse and external tensors are not supported")
            dtype = _DTYPES[kind]
            # A length of 0 hides no others: products of some lengths go to C as 32-bit numbers.
            if prod(max(length, 1) for length in shape) * dtype.itemsize > MAX_TENSOR_BYTES:
                raise ValueError(f"shape {shape}: more than {MAX_TENSOR_BYTES} bytes")
            quantization = self._quantization(table.Quantization(), shape)
            data = self._data(table.Buffer(), shape, dtype)
            state = bool(table.IsVariable())
            return Tensor(index, name, shape, dtype, quantization, data, table.Buffer(), state)

    def _shape(self, table: Any) -> tuple[int, ...]:
        shape = tuple(self._vector(table.ShapeAsNumpy()).tolist())
        if len(shape) > MAX_RANK or any(d < 0 for d in shape):
            raise ValueError(f"shape {shape[:MAX_RANK]}: at most {MAX_RANK} lengths >= 0")
        return shape

    def _quantization(self, table: Any, shape: tuple[int, ...]) -> Quantization | None:
        if table is None or table.ScaleLength() == 0:
            return None
        scale = self._vector(table.ScaleAsNumpy())
        zero_point = self._vector(table.ZeroPointAsNumpy())
        if zero_point.size == 0:
            zero_point = np.zeros(scale.size, np.int64)
        axis = int(table.QuantizedDimension())
        if table.DetailsType() or zero_point.size != scale.size:
            raise ValueError(f"{scale.size} scales and {zero_point.size} zero points")
        if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
            raise ValueError(f"{scale.size} scales along axis {axis} of shape {shape}")
        if not allowed_scales(scale):
            raise ValueError("a scale is not between 2^-63 and 2^63")
        return Quantization(scale, zero_point, axis)

    def _data(self, index: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        if index >= self._model.BuffersLength():
            raise ValueError(f"buffer {index} of {self._model.BuffersLength()}")
        buffer = self._model.Buffers(index)
        if buffer.Offset() or buffer.Size():
            raise ValueError("data outside the flatbuffer is not supported")
        raw = buffer.DataAsNumpy()
        if not isinstance(raw, np.ndarray) or raw.size == 0:
            return None
        if raw.size != prod(shape) * dtype.itemsize:
            raise ValueError(f"{raw.size} bytes of data for shape {shape} of {dtype.name}")
        return raw.view(dtype).reshape(shape)

    def operator(self, index: int, n: int) -> Operator:
        with place(f"operator {index}"):
            table = self.subgraph.Operators(index)
            if table.OpcodeIndex() >= self._model.OperatorCodesLength():
                raise ValueError(f"operator code {table.OpcodeIndex()} is not in the file")
            name = self._operator_name(self._model.OperatorCodes(table.OpcodeIndex()))
        with place(f"operator {index} {name}"):
            inputs = self.indices(table.InputsAsNumpy(), n, least=-1)
            outputs = self.indices(table.OutputsAsNumpy(), n, least=0)
            return Operator(index, name, inputs, outputs, options_of(name, table))

    def _operator_name(self, code: Any) -> str:
        # Files from before schema 3a know only the deprecated field; it holds 127 beyond its range.
        number: int = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            return "CUSTOM:" + self._text(code.CustomCode())
        if number not in _CODES:
            raise ValueError(f"operator {number} is not in the schema")
        return _CODES[number]


def _check_states(graph: Graph) -> None:
    """Raise UnsupportedModel, which names the operator, where one but SVDF keeps a state.

    Each state is of one SVDF alone.
    """
    taken: set[int] = set()
    for operator in graph.operators:
        used = [i for i in operator.inputs + operator.outputs if i >= 0]
        kept = [i for i in used if graph.tensors[i].is_state]
        if kept and (operator.name != "SVDF" or kept != [operator.inputs[-1]] or kept[0] in taken):
            what = f"tensor {kept[0]} is a state that lasts from one input to the next"
            raise unsupported(graph, operator, f"{what}: only SVDF may have one")
        taken.update(kept)


def _check_order(graph: Graph) -> None:
    """Raise ModelError unless everything is written before it is read, and once."""
    known = {-1, *graph.inputs}
    known |= {t.index for t in graph.tensors if t.data is not None or t.is_state}
    for operator in graph.operators:
        where = f"operator {operator.index} {operator.name}"
        for i in operator.inputs:
            if i not in known:
                raise ModelError(where, f"reads tensor {i}, which nothing before it writes")
        for i in operator.outputs:
            if i in known:
                raise ModelError(where, f"writes tensor {i}, which already holds a value")
            known.add(i)
    for i in graph.outputs:
        if i not in known:
            raise ModelError("graph", f"output tensor {i} is written by no operator")
