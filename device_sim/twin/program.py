"""A graph as the twin runs it: the operators with their geometry fixed, and the clamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from device_sim.twin.build import BUILDERS, Site
from device_sim.twin.op import Op
from tflite_models.errors import ModelError
from tflite_models.graph import Graph, Operator, unsupported
from tflite_models.parameters import Layout

EDGES = ("QUANTIZE", "DEQUANTIZE")
AVERAGING = ("AVERAGE_POOL_2D", "MEAN")
INSIDE_THEIR_INPUT = ("RESHAPE", "PAD", "MAX_POOL_2D", *AVERAGING, *EDGES)


@dataclass(frozen=True)
class Range:
    """The real values that a tensor can hold; infinite where the file does not say.

    They are the multiples of `step`; where it is 0 they are all between.
    """

    low: float = -math.inf
    high: float = math.inf
    step: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether it keeps anything out."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    def holds(self, other: Range) -> bool:
        """Whether nothing of `other` lies outside."""
        return self.low <= other.low and other.high <= self.high


@dataclass(frozen=True)
class Step:
    """One operator in its place: which tensors it reads and writes, which parameters it has.

    `clamp` is what its output is held to; `learns` says whether the output
    depends on any parameter, so that a gradient has to pass.
    """

    op: Op
    inputs: tuple[int, ...]
    output: int
    params: tuple[int, ...]  # numbers of slots in the layout
    clamp: Range
    learns: bool


@dataclass(frozen=True)
class Program:
    """The steps from the input tensor to the logits, in order."""

    steps: tuple[Step, ...]
    input: int
    sample: tuple[int, ...]  # shape of one input
    clamp: Range  # of the input
    output: int
    classes: int


def compile_graph(graph: Graph, layout: Layout) -> Program:
    """The Program of a graph that the twin can train.

    A final SOFTMAX, and QUANTIZE or DEQUANTIZE behind it, are left out: the
    program ends with the logits.  Raises UnsupportedModel, naming the
    operator, for anything that could not be trained faithfully.
    """
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        if len(tensors) != 1:
            raise ModelError("graph", f"{len(tensors)} {kind} tensors: 1 is allowed")
    operators, output = _without_softmax(graph)
    slots = {slot.tensor: number for number, slot in enumerate(layout.slots)}
    learned: set[int] = set()
    ranges = {graph.inputs[0]: _range(graph, graph.inputs[0])}
    steps = []
    for operator in operators:
        step = _step(Site(graph, operator, slots, frozenset(learned)), ranges)
        if step.learns:
            learned.add(step.output)
        steps.append(step)
    source = graph.inputs[0]
    sample = graph.tensors[source].shape[1:]
    classes = math.prod(graph.tensors[output].shape[1:])
    return Program(tuple(steps), source, sample, ranges[source], output, classes)


def _without_softmax(graph: Graph) -> tuple[tuple[Operator, ...], int]:
    """The operators up to the logits, and the tensor of the logits."""
    writers = {operator.outputs[0]: operator for operator in graph.operators if operator.outputs}
    writer = writers.get(graph.outputs[0])
    tail = []
    while writer is not None and writer.name in EDGES:
        tail.append(writer.index)
        writer = writers.get(writer.inputs[0])
    if writer is None or writer.name != "SOFTMAX":
        return graph.operators, graph.outputs[0]
    if writer.options.get("beta") != 1.0:
        raise unsupported(graph, writer, f"beta {writer.options.get('beta')}: 1 is allowed")
    tail.append(writer.index)
    return tuple(o for o in graph.operators if o.index not in tail), writer.inputs[0]


def _step(site: Site, ranges: dict[int, Range]) -> Step:
    operator = site.operator
    if operator.name not in BUILDERS:
        known = ", ".join(sorted(BUILDERS))
        last = "only as the last operator" if operator.name == "SOFTMAX" else f"known are {known}"
        raise unsupported(site.graph, operator, f"cannot be trained: {last}")
    op, inputs, params = BUILDERS[operator.name](site)
    output = operator.outputs[0]
    clamp = ranges[output] = _output_range(site)
    if operator.name in INSIDE_THEIR_INPUT and clamp.holds(ranges[inputs[0]]):
        clamp = Range(step=clamp.step if operator.name in AVERAGING else 0.0)
    learns = bool(params) or not site.first
    return Step(op, inputs, output, params, clamp, learns)


def _output_range(site: Site) -> Range:
    """What the output's quantisation can represent, cut by the activation."""
    operator = site.operator
    held = _range(site.graph, operator.outputs[0])
    activation = str(operator.options.get("activation", operator.name))
    if activation in ("RELU", "RELU6"):
        high = 6.0 if activation == "RELU6" else math.inf
        return Range(max(held.low, 0.0), min(held.high, high), held.step)
    if activation not in ("NONE", operator.name):
        raise site.refuse(f"activation {activation}: allowed are NONE, RELU, RELU6")
    return held


def _range(graph: Graph, index: int) -> Range:
    """[(−128 − zero point) · scale, (127 − zero point) · scale] of an int8 tensor."""
    tensor = graph.tensors[index]
    if tensor.shape[:1] != (1,):
        raise ModelError(
            f"tensor {tensor.name!r}", f"shape {tensor.shape}: a batch of 1 is allowed"
        )
    if tensor.dtype == np.float32:
        return Range()
    quantization = tensor.quantization
    if tensor.dtype != np.int8 or quantization is None or quantization.scale.size != 1:
        what = f"{tensor.dtype}: int8 with one scale, or float32, is allowed"
        raise ModelError(f"tensor {tensor.name!r}", what)
    scale, zero = float(quantization.scale[0]), int(quantization.zero_point[0])
    return Range((-128 - zero) * scale, (127 - zero) * scale, scale)
