"""From the twin's program to the compiled core's model: the same steps as plain structs."""

from __future__ import annotations

from collections.abc import Sequence

from core.train import Kind, Model, Shape, Step, Tensor, Window
from device_sim.twin import program as twin
from device_sim.twin import window as geometry
from device_sim.twin.conv import Conv2D
from device_sim.twin.dense import Dense
from device_sim.twin.depthwise import DepthwiseConv2D
from device_sim.twin.op import Op
from device_sim.twin.pool import AveragePool, MaxPool, Mean
from device_sim.twin.simple import Add
from tflite_models.graph import Graph
from tflite_models.parameters import Layout

KINDS: dict[type[Op], Kind] = {
    Conv2D: Kind.CONV,
    DepthwiseConv2D: Kind.DEPTHWISE,
    Dense: Kind.DENSE,
    AveragePool: Kind.AVERAGE_POOL,
    Mean: Kind.AVERAGE_POOL,
    MaxPool: Kind.MAX_POOL,
    Add: Kind.ADD,
}


def lower(graph: Graph, layout: Layout, program: twin.Program) -> Model:
    """The core's model of a program; its tensors have the graph's numbers."""
    held = {program.input: program.clamp} | {s.output: s.clamp for s in program.steps}
    tensors = [
        _tensor(graph.tensors[i].shape[1:], held.get(i, twin.Range()))
        for i in range(len(graph.tensors))
    ]
    starts = [slot.start for slot in layout.slots]
    steps = [_step(step, starts) for step in program.steps]
    return Model(tensors, steps, layout.size, (program.input, program.output))


def _tensor(shape: tuple[int, ...], held: twin.Range) -> Tensor:
    """Constants have no part in the core's steps: any shape will do for theirs."""
    padded = (1, 1, 1, *shape)[-3:] if len(shape) <= 3 else (1, 1, 1)
    return Tensor(Shape(*(max(n, 1) for n in padded)), held.low, held.high, held.step)


def _step(step: twin.Step, starts: Sequence[int]) -> Step:
    inputs = (*step.inputs, 0)[:2]
    weight, bias = (*(starts[slot] for slot in step.params), -1, -1)[:2]
    kind = KINDS.get(type(step.op), Kind.COPY)
    made = Step(kind, inputs, step.output, weight, bias)
    if isinstance(step.op, Mean):
        made.window = Window(step.op.height, step.op.width, 1, 1, 1, 1, 0, 0)
    elif isinstance(step.op, Conv2D | DepthwiseConv2D | AveragePool | MaxPool):
        made.window = _window(step.op.window)
    return made


def _window(w: geometry.Window) -> Window:
    return Window(w.height, w.width, w.stride_h, w.stride_w, 1, 1, w.top, w.left)
