"""From a graph to the kernel calls that compute it.

Pure: what is decided here holds for the plan of a host and for generated C
alike.  Operators that only rename a tensor's axes vanish; constants that
TensorFlow Lite Micro derives when it starts are derived here.
"""

from __future__ import annotations

from dataclasses import replace

from core import int8_lower_axes, int8_lower_layers
from core.int8_calls import Activation, Call, Program
from core.int8_site import Site
from tflite_models.errors import ModelError
from tflite_models.graph import Graph, unsupported
from tflite_models.memory import plan_memory

OPERATORS = int8_lower_layers.OPERATORS | int8_lower_axes.OPERATORS
VIEWS = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})


def lower(graph: Graph) -> Program:
    """The program of an int8 graph.

    Raises UnsupportedModel, naming operator and tensors, for what no kernel does, and
    ModelError for an output that is constant.
    """
    graph = _without_unused(graph)
    views = _views(graph)
    calls: list[Call] = []
    for operator in graph.operators:
        if operator.name in VIEWS:
            continue
        if operator.name not in OPERATORS:
            raise unsupported(
                graph, operator, f"allowed are {', '.join(sorted(VIEWS | OPERATORS.keys()))}"
            )
        try:
            calls += OPERATORS[operator.name](Site(graph, operator, views))
        except ValueError as error:
            raise unsupported(graph, operator, str(error)) from error
    outputs = tuple(Activation(views.get(i, i)) for i in graph.outputs)
    for output in outputs:
        if graph.tensors[output.tensor].data is not None:
            raise ModelError("graph", f"output tensor {output.tensor} is constant")
    return Program(
        tuple(calls),
        plan_memory(_without_views(graph, views)),
        tuple(Activation(i) for i in graph.inputs),
        outputs,
    )


def _without_unused(graph: Graph) -> Graph:
    """The graph without operators that no output needs: views have their shape without asking.

    Frameworks compute the shape of a RESHAPE with SHAPE, STRIDED_SLICE and PACK where they did
    not know the size of a batch.
    """
    needed = set(graph.outputs)
    kept = []
    for operator in reversed(graph.operators):
        if needed.isdisjoint(operator.outputs):
            continue
        needed.update(operator.inputs[:1] if operator.name in VIEWS else operator.inputs)
        kept.append(operator)
    return replace(graph, operators=tuple(reversed(kept)))


def _views(graph: Graph) -> dict[int, int]:
    """For each tensor that is another one with other axes, that other one."""
    views: dict[int, int] = {}
    for operator in graph.operators:
        if operator.name in VIEWS:
            if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
                raise unsupported(graph, operator, "one input and one output are needed")
            source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
            if source.nbytes != target.nbytes or source.dtype != target.dtype:
                raise unsupported(graph, operator, "input and output differ in size")
            if source.data is not None:
                raise unsupported(graph, operator, "its input is constant")
            views[target.index] = views.get(source.index, source.index)
    return views


def _without_views(graph: Graph, views: dict[int, int]) -> Graph:
    """The graph as the memory plan sees it: one tensor for all that are views of it."""

    def roots(indices: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(views.get(i, i) for i in indices)

    kept = [operator for operator in graph.operators if operator.name not in VIEWS]
    operators = tuple(
        replace(operator, index=i, inputs=roots(operator.inputs)) for i, operator in enumerate(kept)
    )
    return replace(graph, operators=operators, outputs=roots(graph.outputs))
