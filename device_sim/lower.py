"""From the twin's program to the compiled core's model: the same steps as plain structs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from core.train import Kind, Loss, Model, Shape, Step, Tensor, Window
from device_sim.twin import program as twin
from device_sim.twin import window as geometry
from device_sim.twin.conv import Conv2D
from device_sim.twin.dense import Dense
from device_sim.twin.depthwise import DepthwiseConv2D
from device_sim.twin.join import Place
from device_sim.twin.op import Op
from device_sim.twin.pool import AveragePool, MaxPool, Mean
from device_sim.twin.simple import Add, Mul, Reshape
from tflite_models.errors import ModelError
from tflite_models.graph import Graph
from tflite_models.parameters import Layout
from tflite_models.scope import trained_slots

WEIGHTS, BIASES = 1, 2  # bits of what trains of a step

Axes = tuple[int, int, int]  # height, width, channels

KINDS: dict[type[Op], Kind] = {
    Conv2D: Kind.CONV,
    DepthwiseConv2D: Kind.DEPTHWISE,
    Dense: Kind.DENSE,
    AveragePool: Kind.AVERAGE_POOL,
    Mean: Kind.AVERAGE_POOL,
    MaxPool: Kind.MAX_POOL,
    Add: Kind.ADD,
    Mul: Kind.MUL,
    Reshape: Kind.COPY,
}


def lower(graph: Graph, layout: Layout, program: twin.Program, loss: Loss) -> Model:
    """The core's model of a program; its tensors have the graph's numbers."""
    held = {program.input: program.clamp} | {s.output: s.clamp for s in program.steps}
    shapes = [_shape(tensor.shape[1:]) for tensor in graph.tensors]
    starts = [slot.start for slot in layout.slots]
    steps: list[Step] = []
    for step in program.steps:
        if isinstance(step.op, Dense):
            outputs = layout.slots[step.params[0]].shape[0]
            shapes[step.output] = _rows(shapes[step.output], outputs)
        steps += _steps(step, starts)
    tensors = [_tensor(shape, held.get(i, twin.Range())) for i, shape in enumerate(shapes)]
    return Model(tensors, steps, layout.size, (program.input, program.output), loss)


def step_bytes(model: Model, layout: Layout, bits: bytes) -> bytes:
    """What trains of each step, for core.train.Plan.  Raises ValueError like `scope_of`."""
    trained = {layout.slots[number].start for number in trained_slots(layout, bits)}
    return bytes(
        WEIGHTS * (step.weight in trained) | BIASES * (step.bias in trained) for step in model.steps
    )


def _shape(sample: tuple[int, ...]) -> Axes:
    """Height, width and channels; of constants, which the core never sees, anything positive."""
    height, width, channels = (1, 1, 1, *sample)[-3:]
    return max(height * prod(sample[:-3]), 1), max(width, 1), max(channels, 1)


def _rows(shape: Axes, outputs: int) -> Axes:
    """The shape as rows of a dense layer's outputs."""
    return shape if shape[2] == outputs else (1, prod(shape) // outputs, outputs)


def _tensor(shape: Axes, held: twin.Range) -> Tensor:
    return Tensor(Shape(*shape), held.low, held.high, held.step)


def _steps(step: twin.Step, starts: Sequence[int]) -> list[Step]:
    """One step, or one for each activation that is joined with others."""
    if isinstance(step.op, Place):
        return [
            _place(tensor, step.output, corner)
            for tensor, corner in zip(step.inputs, step.op.corners, strict=True)
        ]
    inputs = (*step.inputs, 0)[:2]
    weight, bias = (*(starts[slot] for slot in step.params), -1, -1)[:2]
    made = Step(KINDS[type(step.op)], inputs, step.output, weight, bias)
    if isinstance(step.op, Mean):
        made.window = Window(step.op.height, step.op.width, 1, 1, 1, 1, 0, 0)
    elif isinstance(step.op, Conv2D | DepthwiseConv2D | AveragePool | MaxPool):
        made.window = _window(step.op.window)
    return [made]


def _place(tensor: int, output: int, corner: tuple[int, ...]) -> Step:
    if any(corner[:-3]):
        raise ModelError(f"tensor {output}", "joined along an axis before height: not in the core")
    return Step(Kind.PLACE, (tensor, 0), output, -1, -1, Window(), (0, 0, 0, *corner)[-3:])


def _window(w: geometry.Window) -> Window:
    return Window(w.height, w.width, w.stride_h, w.stride_w, 1, 1, w.top, w.left)
