"""Forward and backward through a Program, with the clamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device_sim.twin.op import Array, Arrays, Saved
from device_sim.twin.program import Program, Range, Step


@dataclass(frozen=True)
class Pass:
    """What one step left behind on the way forward."""

    step: Step
    params: Arrays
    output: Array
    saved: Saved


def forward(
    program: Program, params: Arrays, x: Array, *, rounded: bool = False
) -> tuple[Array, tuple[Pass, ...]]:
    """The logits (n, classes) of x (n, *sample), and the passes that led to them.

    `params` has an array of each slot of the layout.  Every activation, and
    x itself, is clamped to the range of its int8 tensor, and if `rounded` also
    moved to the nearest value that the tensor can represent (Jacob et al. 2018,
    arXiv:1712.05877, section 3); the gradient passes as if it had not been.
    """
    values = {program.input: held(x.copy(), program.clamp, rounded=rounded)}
    passes = []
    for step in program.steps:
        used = tuple(params[slot] for slot in step.params)
        output, saved = step.op.forward(used, tuple(values[i] for i in step.inputs))
        values[step.output] = held(output, step.clamp, rounded=rounded)
        passes.append(Pass(step, used, output, saved))
    return values[program.output].reshape(len(x), -1), tuple(passes)


def backward(program: Program, passes: tuple[Pass, ...], grad: Array, by_params: Arrays) -> None:
    """Add to `by_params`, an array of each slot, the gradients of the loss.

    `grad` (n, classes) is the loss's gradient by the logits.
    """
    grads = {program.output: grad}
    for done in reversed(passes):
        step = done.step
        if not step.learns or step.output not in grads:
            continue
        arriving = grads.pop(step.output).reshape(done.output.shape)
        by_inputs, by_used = step.op.backward(done.saved, _through(arriving, done))
        for slot, part in zip(step.params, by_used, strict=True):
            by_params[slot][...] += part.reshape(by_params[slot].shape)
        for tensor, part in zip(step.inputs, by_inputs, strict=False):
            grads[tensor] = grads[tensor] + part if tensor in grads else part


def held(values: Array, clamp: Range, *, rounded: bool) -> Array:
    """The same array, its values moved into the range and, if asked, onto its grid."""
    if clamp.bounded:
        values.clip(clamp.low, clamp.high, out=values)
    if rounded and clamp.step:
        values *= 1.0 / clamp.step
        np.rint(values, out=values)
        values *= clamp.step
    return values


def _through(grad: Array, done: Pass) -> Array:
    """The gradient before the clamp: passed on inside the range, zero where a value was held.

    A value on the border counts as held; so the output alone decides, and
    RELU's gradient at 0 is 0.
    """
    clamp = done.step.clamp
    if not clamp.bounded:
        return grad
    inside = (done.output > clamp.low) & (done.output < clamp.high)
    return np.multiply(grad, inside)
