"""Evaluate an int8 file with the stock interpreter: the judge of what the file computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflite_models.errors import ModelError
from tflite_models.graph import Graph, Quantization, Tensor, read_graph

BATCH = 128  # samples at once: enough to hide the cost of a call, little memory

I8 = NDArray[np.int8]


class Interpreter:
    """One file with one int8 input and one int8 output, run on one thread.

    The built-in kernels without delegates: XNNPACK rounds in its own way and
    writes to stderr.  Not for use by two threads at once.  Raises ModelError
    for a file that the interpreter cannot run.
    """

    def __init__(self, file: bytes) -> None:
        graph = read_graph(file)
        self._file = file
        self._source, self.input = _port(graph, "input", graph.inputs)
        self._target, self.output = _port(graph, "output", graph.outputs)
        self._batch, self._stock = self._prepare()

    def run_int8(self, x: I8) -> I8:
        """The output codes (n, *output) for input codes (n, *input)."""
        if x.dtype != np.int8 or x.shape[1:] != self._source.shape[1:]:
            wanted = f"int8 (n, {', '.join(map(str, self._source.shape[1:]))})"
            raise ModelError("input", f"{x.dtype.name} {x.shape}: {wanted} is allowed")
        out = np.empty((len(x), *self._target.shape[1:]), np.int8)
        padded = np.zeros((self._batch, *x.shape[1:]), np.int8)
        for start in range(0, len(x), self._batch):
            chunk = x[start : start + self._batch]
            padded[: len(chunk)] = chunk
            self._stock.set_tensor(self._source.index, padded)
            self._stock.invoke()
            out[start : start + len(chunk)] = self._stock.get_tensor(self._target.index)[
                : len(chunk)
            ]
        return out

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """The class (n,) of each input (n, *input) of real values: the first largest output."""
        flat = self.run_int8(quantize(x, self.input)).reshape(len(x), -1)
        classes: NDArray[np.int64] = flat.argmax(axis=1).astype(np.int64)
        return classes

    def accuracy(self, x: NDArray[np.float32], y: NDArray[np.integer[Any]]) -> float:
        """The share of inputs (n, *input) whose class is that of y (n,); n > 0."""
        return float((self.predict(x) == y).mean())

    def _prepare(self) -> tuple[int, Any]:
        """The largest batch that the graph allows, and an interpreter ready for it."""
        try:
            stock = self._allocate(BATCH)
            shape = tuple(stock.get_tensor(self._target.index).shape)
            if shape == (BATCH, *self._target.shape[1:]):
                return BATCH, stock
        except ModelError:
            pass  # a RESHAPE to a constant batch: one by one, then
        return 1, self._allocate(1)

    def _allocate(self, batch: int) -> Any:
        from ai_edge_litert import interpreter as litert  # noqa: PLC0415 - slow to load

        try:
            stock = litert.Interpreter(
                model_content=self._file,
                num_threads=1,
                experimental_op_resolver_type=(
                    litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                ),
            )
            if batch != self._source.shape[0]:
                stock.resize_tensor_input(self._source.index, [batch, *self._source.shape[1:]])
            stock.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError("interpreter", str(error)) from error
        return stock


def quantize(x: NDArray[np.float32], to: Quantization) -> I8:
    """Codes of real values under the one scale of `to`, half to even, clamped to int8."""
    codes: I8 = np.clip(np.rint(x / to.scale[0]) + to.zero_point[0], -128, 127).astype(np.int8)
    return codes


def _port(graph: Graph, what: str, indices: tuple[int, ...]) -> tuple[Tensor, Quantization]:
    if len(indices) != 1:
        raise ModelError(what, f"{len(indices)} tensors: 1 is allowed")
    tensor = graph.tensors[indices[0]]
    quantization = tensor.quantization
    if tensor.dtype != np.int8 or quantization is None or quantization.scale.size != 1:
        raise ModelError(what, f"tensor {tensor.index} is not int8 with one scale")
    if tensor.shape[:1] != (1,):
        raise ModelError(what, f"tensor {tensor.index} of shape {tensor.shape} is not a batch of 1")
    return tensor, quantization
