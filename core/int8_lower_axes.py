"""Lowering of the operators that are about axes: arithmetic on pairs, reductions, moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from math import prod

from core.int8_calls import RANK, Axes, Call, Filling, MeanAxis, Move, Pair, Product, Sum
from core.int8_site import Site, coding, range_of, same_coding, scale_of

Shape = tuple[int, ...]


def add(site: Site, sign: int) -> list[Call]:
    """ADD, or SUB where the sign is −1: both inputs at twice the coarser scale, 20 bits finer."""
    a, b = site.input(0), site.input(1)
    (scale_a, zero_a), (scale_b, zero_b) = coding(a), coding(b)
    common = 2 * max(float(scale_a), float(scale_b))
    parameters = Sum(
        _pair(a.shape, b.shape, site.output.shape),
        sign,
        (zero_a, zero_b),
        (scale_of(float(scale_a) / common), scale_of(float(scale_b) / common)),
        scale_of(common / (2**20 * float(coding(site.output)[0]))),
        range_of(site.output, site.options["activation"]),
    )
    return [site.call("add", parameters, a, b)]


def mul(site: Site) -> list[Call]:
    """MUL."""
    a, b = site.input(0), site.input(1)
    (scale_a, zero_a), (scale_b, zero_b) = coding(a), coding(b)
    parameters = Product(
        _pair(a.shape, b.shape, site.output.shape),
        (zero_a, zero_b),
        scale_of(float(scale_a) * float(scale_b) / float(coding(site.output)[0])),
        range_of(site.output, site.options["activation"]),
    )
    return [site.call("mul", parameters, a, b)]


def mean(site: Site) -> list[Call]:
    """MEAN over axes that lie side by side, or have only axes of length 1 between them."""
    source, target, shape = site.input(), site.output, site.input().shape
    axes = {axis_of(int(a), len(shape)) for a in site.constant(1, "int32").ravel()}
    axes = {a for a in axes if shape[a] > 1}
    first, last = min(axes, default=0), max(axes, default=-1)
    if any(shape[a] > 1 for a in range(first, last + 1) if a not in axes):
        raise ValueError(f"over axes {sorted(axes)} of {shape}: they must lie side by side")
    outer, count = prod(shape[:first]), prod(shape[first : last + 1])
    inner = prod(shape[last + 1 :])
    (scale, zero), (output_scale, _) = coding(source), coding(target)
    whole = scale_of(float(scale) / float(output_scale))
    # the division by count goes into the multiplier, with as many bits as it has room for
    bits = min(count.bit_length() - 1, 32, 31 + whole.shift)
    divided = replace(
        whole, multiplier=(whole.multiplier << bits) // count, shift=whole.shift - bits
    )
    return [site.call("mean", MeanAxis(outer, count, inner, zero, divided, range_of(target)))]


def concatenate(site: Site) -> list[Call]:
    """CONCATENATION: a copy of each input, of whatever scale, to its part of the output."""
    if site.options["activation"] != "NONE":
        raise ValueError("a fused activation")
    target = site.output.shape
    axis = axis_of(site.options["axis"], len(target))
    calls, start = [], 0
    for k in range(len(site.operator.inputs)):
        part = site.input(k)
        coding(part)
        steps = _steps(target)
        move = _move(part.shape, _steps(part.shape), steps, 0, start * steps[axis])
        calls.append(site.call("copy", move, part))
        start += part.shape[axis]
    if start != target[axis]:
        raise ValueError(f"inputs of {start} along axis {axis} for an output of {target}")
    return calls


def pad(site: Site) -> list[Call]:
    """PAD and PADV2: fill the output, then copy the input into its middle."""
    source, target = site.input(), site.output
    same_coding(site, source)
    before = [int(b) for b, _ in site.constant(1, "int32").reshape(-1, 2)]
    value = coding(target)[1]
    if len(site.operator.inputs) > 2:
        same_coding(site, site.input(2))
        value = int(site.constant(2, "int8").ravel()[0])
    steps = _steps(target.shape)
    start = sum(b * s for b, s in zip(before, steps, strict=True))
    move = _move(source.shape, _steps(source.shape), steps, 0, start)
    fill = replace(site.call("fill", Filling(prod(target.shape), value)), inputs=())
    return [fill, site.call("copy", move)]


def transpose(site: Site) -> list[Call]:
    """TRANSPOSE."""
    same_coding(site, site.input())
    order = [int(i) for i in site.constant(1, "int32").ravel()]
    if sorted(order) != list(range(len(site.input().shape))):
        raise ValueError(f"an order of {order}")
    steps = _steps(site.input().shape)
    target = site.output.shape
    return [site.call("copy", _move(target, tuple(steps[i] for i in order), _steps(target), 0, 0))]


def strided_slice(site: Site) -> list[Call]:
    """STRIDED_SLICE with constant bounds, without ellipsis and new axes."""
    same_coding(site, site.input())
    if site.options["ellipsis_mask"] or site.options["new_axis_mask"]:
        raise ValueError("an ellipsis or a new axis")
    shape = site.input().shape
    bounds = [site.constant(k, "int32").ravel().tolist() for k in (1, 2, 3)]
    if any(len(b) != len(shape) for b in bounds) or not all(bounds[2]):
        raise ValueError(f"bounds {bounds} of {shape}")
    starts, lengths = [], []
    for axis, (begin, end, stride) in enumerate(zip(*bounds, strict=True)):
        if site.options["shrink_axis_mask"] >> axis & 1:
            start, length = axis_of(begin, shape[axis]), 1
        else:
            open_begin = site.options["begin_mask"] >> axis & 1
            open_end = site.options["end_mask"] >> axis & 1
            taken = range(shape[axis])[
                None if open_begin else begin : None if open_end else end : stride
            ]
            start, length = taken.start, len(taken)
        starts.append(start)
        lengths.append(length)
    if prod(lengths) != prod(site.output.shape):
        raise ValueError(f"a slice of {lengths} for an output of {site.output.shape}")
    steps = _steps(shape)
    first = sum(b * s for b, s in zip(starts, steps, strict=True))
    strides = tuple(s * k for s, k in zip(steps, bounds[2], strict=True))
    move = _move(tuple(lengths), strides, _steps(tuple(lengths)), first, 0)
    return [site.call("copy", move)]


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front; ValueError if there is none such."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank


def _steps(shape: Shape) -> Axes:
    """How far apart neighbours along each axis lie."""
    return tuple(accumulate(reversed(shape[1:]), lambda a, b: a * b, initial=1))[::-1][: len(shape)]


def _pair(a: Shape, b: Shape, target: Shape) -> Pair:
    """How two inputs that are broadcast to `target` are walked."""
    steps = []
    for shape in (a, b):
        long = (1,) * (len(target) - len(shape)) + shape
        if len(long) != len(target) or any(
            s not in (1, t) for s, t in zip(long, target, strict=True)
        ):
            raise ValueError(f"inputs of {a} and {b} for an output of {target}")
        steps.append(tuple(0 if n == 1 else s for n, s in zip(long, _steps(long), strict=True)))
    length, step_a, step_b = _merged(target, *steps)
    return Pair(length, (step_a, step_b))


def _move(length: Shape, source: Axes, target: Axes, input_start: int, output_start: int) -> Move:
    lengths, input_step, output_step = _merged(length, source, target)
    return Move(lengths, input_start, output_start, input_step, output_step)


def _merged(length: Shape, first: Axes, second: Axes) -> tuple[Axes, Axes, Axes]:
    """The same walk with as few axes as it takes, filled up to RANK with axes of length 1."""
    axes: list[tuple[int, int, int]] = []
    for n, a, b in zip(length, first, second, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * a and axes[-1][2] == n * b:
            n *= axes.pop()[0]  # noqa: PLW2901 - one axis instead of two
        axes.append((n, a, b))
    if len(axes) > RANK:
        raise ValueError(f"{len(axes)} axes: at most {RANK} are allowed")
    axes = [(1, 0, 0)] * (RANK - len(axes)) + axes
    lengths, firsts, seconds = zip(*axes, strict=True)
    return lengths, firsts, seconds


OPERATORS: dict[str, Callable[[Site], list[Call]]] = {
    "ADD": lambda site: add(site, 1),
    "SUB": lambda site: add(site, -1),
    "MUL": mul,
    "MEAN": mean,
    "CONCATENATION": concatenate,
    "PAD": pad,
    "PADV2": pad,
    "TRANSPOSE": transpose,
    "STRIDED_SLICE": strided_slice,
}
