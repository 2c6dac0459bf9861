"""Where the numbers of a base file lie, which is what `wire.base` wants to know."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from tflite_models.graph import Graph, read_graph
from tflite_models.layout import Layout, Slot, constant, layout_of, quantization
from wire.base import Form, Run


def runs_of(file: bytes) -> tuple[Run, ...]:
    """Weights, biases, and the scales of biases, ascending; ModelError as `layout_of`."""
    graph = read_graph(file)
    layout = layout_of(graph)
    origin, _ = byte_bounds(np.frombuffer(file, np.uint8))
    found = []
    for slot in layout.slots:
        codes = constant(graph, slot)
        form = Form.INT8 if slot.kind == "weight" else Form.INT32
        found.append(Run(_at(codes, origin), form, codes.size))
        if slot.kind == "bias":
            found.append(_products(graph, layout, slot, origin))
    return tuple(sorted(found))


def _products(graph: Graph, layout: Layout, slot: Slot, origin: int) -> Run:
    """The scales of a bias: its weight's, times that of the operator's input."""
    own = quantization(graph, slot).scale
    factors = quantization(graph, layout.slots[slot.weight]).scale
    source = next(op.inputs[0] for op in graph.operators if slot.tensor in op.inputs[2:])
    factor = graph.tensors[source].quantization
    assert factor is not None, "layout_of has seen it"
    return Run(
        _at(own, origin), Form.PRODUCTS, own.size, _at(factors, origin), _at(factor.scale, origin)
    )


def _at(array: NDArray[Any], origin: int) -> int:
    """Bytes from the file's beginning."""
    return byte_bounds(array)[0] - origin
