"""The core's gradients, operator by operator, beside TensorFlow's (bar 3.1).

Each operator stands alone in a network whose parameters are the operator's inputs, its
weights and its bias: the input is 1, and a dense layer without bias turns it into the
operator's input.  So one call of the core gives the gradients by all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.train import Kind, Model, Path, Plan, Shape, Step, Tensor, Window

F32 = NDArray[np.float32]
Dims = tuple[int, int, int]
Reference = Callable[[Any, Sequence[Any], Sequence[Any]], Any]  # tf, inputs, parameters

LABELS = np.array([0, 1, 0], np.int32)  # all samples are alike


@dataclass(frozen=True)
class Case:
    """One operator: what it reads and writes, its parameters, and TensorFlow's word for it.

    `weights` are stored as the core has them; `reference` gives (1, *output).
    """

    name: str
    kind: Kind
    inputs: tuple[Dims, ...]
    output: Dims
    reference: Reference
    weights: tuple[int, ...] = ()
    window: tuple[int, ...] = (1, 1, 1, 1, 0, 0)  # kernel, stride, padding before
    corners: tuple[Dims, ...] = ()  # of PLACE
    limits: tuple[float, float] = (-math.inf, math.inf)


def gradients(case: Case, values: Sequence[F32], path: Path | None = None) -> list[F32]:
    """The mean loss' gradient by each input and parameter, in the shape of `values`."""
    count = len(case.inputs)
    ends = np.cumsum([0, *(v.size for v in values)]).tolist()
    tensors = [Tensor(Shape(1, 1, 1), -math.inf, math.inf, 0.0)]
    steps = []
    for i, dims in enumerate(case.inputs):
        shapes = ((1, 1, math.prod(dims)), dims)
        tensors += [Tensor(Shape(*shape), -math.inf, math.inf, 0.0) for shape in shapes]
        last = len(tensors) - 1
        steps.append(Step(Kind.DENSE, (0, 0), last - 1, ends[i], -1))
        steps.append(Step(Kind.COPY, (last - 1, 0), last, -1, -1))
    tensors.append(Tensor(Shape(*case.output), *case.limits, 0.0))
    reads = [2 * i + 2 for i in range(count)]
    steps += _operator(case, reads, len(tensors) - 1, ends[count:])
    model = Model(tensors, steps, ends[-1], (0, len(tensors) - 1))
    plan = Plan(model, bytes([3]) * len(steps), 2, path)
    flat = np.concatenate([v.ravel() for v in values])
    ones = np.ones((len(LABELS), 1), np.float32)
    _, found = plan.gradient(ones, LABELS, flat)
    return [found[a:b].reshape(v.shape) for a, b, v in zip(ends, ends[1:], values, strict=False)]


def _operator(case: Case, reads: list[int], output: int, ends: list[int]) -> list[Step]:
    if case.kind == Kind.PLACE:
        return [
            Step(Kind.PLACE, (read, 0), output, -1, -1, Window(), corner)
            for read, corner in zip(reads, case.corners, strict=True)
        ]
    height, width, down, right, top, left = case.window
    window = Window(height, width, down, right, 1, 1, top, left)
    weight, bias = (*ends[:-1], -1, -1)[:2]
    return [Step(case.kind, (*reads, 0)[:2], output, weight, bias, window)]


def expected(case: Case, values: Sequence[F32]) -> list[F32]:
    """TensorFlow's gradients of the same."""
    import tensorflow as tf

    variables = [tf.Variable(v) for v in values]
    count = len(case.inputs)
    with tf.GradientTape() as tape:
        out = case.reference(tf, variables[:count], variables[count:])
        logits = tf.repeat(tf.reshape(out, (1, -1)), len(LABELS), axis=0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits)
        loss = tf.reduce_mean(losses)
    return [g.numpy() for g in tape.gradient(loss, variables)]


def random_values(case: Case, seed: int) -> list[F32]:
    """Inputs (1, height, width, channels), weights and a bias, normally distributed."""
    rng = np.random.default_rng(seed)
    shapes: list[tuple[int, ...]] = [(1, *dims) for dims in case.inputs]
    if case.weights:
        shapes += [case.weights, (case.output[2],)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def relative_error(case: Case, seed: int, path: Path | None = None) -> float:
    """The largest error, relative to the largest gradient by the same input or parameter.

    Where those cancel to nothing, to a hundredth of the operator's largest.
    """
    values = random_values(case, seed)
    theirs = expected(case, values)
    least = max(float(np.abs(b).max()) for b in theirs) / 100
    return max(
        float(np.abs(a - b).max()) / max(float(np.abs(b).max()), least)
        for a, b in zip(gradients(case, values, path), theirs, strict=True)
    )


# height, width, in, kernel height and width, stride down and right, padding
GEOMETRIES = [
    (8, 8, 3, 3, 3, 1, 1, "SAME"),
    (9, 7, 2, 3, 3, 2, 2, "SAME"),
    (8, 10, 20, 3, 3, 2, 2, "SAME"),  # pads behind only
    (7, 5, 17, 1, 1, 1, 1, "VALID"),
    (7, 6, 4, 1, 1, 2, 2, "SAME"),
    (9, 8, 1, 4, 2, 2, 1, "SAME"),
    (11, 1, 24, 5, 1, 1, 1, "SAME"),
    (12, 1, 6, 5, 1, 3, 1, "VALID"),  # leaves rows behind
    (10, 9, 2, 2, 3, 1, 2, "VALID"),
    (5, 5, 2, 5, 5, 1, 1, "VALID"),
    (4, 3, 2, 5, 4, 2, 3, "SAME"),  # the window is larger than the sample
]


def _axis(size: int, taps: int, stride: int, padding: str) -> tuple[int, int]:
    """Output positions, and padding before: TensorFlow's rule."""
    if padding == "VALID":
        return (size - taps) // stride + 1, 0
    out = -(-size // stride)
    return out, max((out - 1) * stride + taps - size, 0) // 2


def _window_cases(geometry: tuple[Any, ...]) -> list[Case]:
    height, width, channels, high, wide, down, right, padding = geometry
    rows, top = _axis(height, high, down, padding)
    columns, left = _axis(width, wide, right, padding)
    name = "x".join(map(str, geometry))
    sample, window = (height, width, channels), (high, wide, down, right, top, left)
    out, inputs = (rows, columns), (sample,)
    each, moves = (high, wide), ((down, right), padding)
    return [
        *(
            Case(
                f"conv {name} {n}",
                *(Kind.CONV, inputs, (*out, n)),
                *(_conv(*moves), (n, *each, channels), window),
            )
            for n in (5, 16)
        ),
        *(
            Case(
                f"depthwise {name} ×{n}",
                *(Kind.DEPTHWISE, inputs, (*out, n * channels)),
                *(_depthwise((*each, channels, n), *moves), (*each, n * channels), window),
            )
            for n in (1, 3)
        ),
        *(
            Case(
                f"{function} {name}",
                *(kind, inputs, (*out, channels)),
                *(_pool(function, each, *moves), (), window),
            )
            for kind, function in (
                (Kind.AVERAGE_POOL, "avg_pool2d"),
                (Kind.MAX_POOL, "max_pool2d"),
            )
        ),
    ]


def _conv(strides: tuple[int, int], padding: str) -> Reference:
    def reference(tf: Any, x: Sequence[Any], p: Sequence[Any]) -> Any:
        return tf.nn.conv2d(x[0], tf.transpose(p[0], (1, 2, 3, 0)), strides, padding) + p[1]

    return reference


def _depthwise(
    shape: tuple[int, int, int, int], strides: tuple[int, int], padding: str
) -> Reference:
    """`shape` is that of the kernel: height, width, channels, and outputs of each channel."""

    # As a convolution with a block diagonal kernel: TensorFlow's own knows equal strides only.
    def reference(tf: Any, x: Sequence[Any], p: Sequence[Any]) -> Any:
        high, wide, channels, times = shape
        taps = tf.reshape(p[0], shape)
        blocks = tf.eye(channels)[None, None, :, :, None] * taps[:, :, :, None, :]
        kernel = tf.reshape(blocks, (high, wide, channels, channels * times))
        return tf.nn.conv2d(x[0], kernel, strides, padding) + p[1]

    return reference


def _pool(
    function: str, window: tuple[int, int], strides: tuple[int, int], padding: str
) -> Reference:
    def reference(tf: Any, x: Sequence[Any], p: Sequence[Any]) -> Any:
        del p
        return getattr(tf.nn, function)(x[0], window, strides, padding)

    return reference


def _dense(into: int, out: int) -> Case:
    def reference(tf: Any, x: Sequence[Any], p: Sequence[Any]) -> Any:
        return tf.reshape(x[0], (1, into)) @ tf.transpose(p[0]) + p[1]

    name = f"dense {into}→{out}"
    return Case(name, Kind.DENSE, ((1, 1, into),), (1, 1, out), reference, (out, into))


def _others() -> list[Case]:
    image, other = (4, 3, 5), (4, 3, 2)
    pair = (image, image)
    return [
        *(_dense(*size) for size in ((1, 3), (7, 3), (64, 10), (130, 33))),
        Case(
            *("mean", Kind.AVERAGE_POOL, ((5, 3, 4),), (1, 1, 4)),
            lambda tf, x, _: tf.reduce_mean(x[0], (1, 2)),
            window=(5, 3, 1, 1, 0, 0),
        ),
        Case("add", Kind.ADD, pair, image, lambda _, x, __: x[0] + x[1]),
        Case("mul", Kind.MUL, pair, image, lambda _, x, __: x[0] * x[1]),
        Case(
            *("concatenation of channels", Kind.PLACE, (image, other), (4, 3, 7)),
            lambda tf, x, _: tf.concat(x, 3),
            corners=((0, 0, 0), (0, 0, 5)),
        ),
        Case(
            *("concatenation of rows", Kind.PLACE, pair, (8, 3, 5)),
            lambda tf, x, _: tf.concat(x, 1),
            corners=((0, 0, 0), (4, 0, 0)),
        ),
        Case(
            *("pad", Kind.PLACE, (image,), (7, 5, 5)),
            lambda tf, x, _: tf.pad(x[0], ((0, 0), (1, 2), (2, 0), (0, 0))),
            corners=((1, 2, 0),),
        ),
        Case("reshape", Kind.COPY, (image,), (1, 10, 6), lambda _, x, __: x[0]),
        Case("relu", Kind.COPY, (image,), image, _clip(0, math.inf), limits=(0, math.inf)),
        Case("relu6", Kind.COPY, (image,), image, _clip(0, 6), limits=(0, 6)),
        Case("clamp", Kind.COPY, (image,), image, _clip(-0.5, 0.25), limits=(-0.5, 0.25)),
    ]


def _clip(low: float, high: float) -> Reference:
    return lambda tf, x, _: tf.clip_by_value(x[0], float(low), float(high))


CASES = [case for geometry in GEOMETRIES for case in _window_cases(geometry)] + _others()
