"""A model to train as C: the structs of microfed/train.h as constant data."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from core.stored import Codes
from core.train import Kind, Loss, Model, Recipe, Step, Tensor
from firmware.compiler.text import array, wrapped

F32 = NDArray[np.float32]


def model_c(model: Model, codes: Sequence[Codes | None]) -> str:
    """`model` and `stored`: a model and the parameters of each of its steps, with their arrays."""
    return (
        network_c("model", model)
        + "".join(_arrays(i, c) for i, c in enumerate(codes) if c)
        + _structs("mf_stored stored", [_stored(i, c) for i, c in enumerate(codes)])
    )


def network_c(name: str, model: Model) -> str:
    """The mf_train_model of that name, with its arrays `tensors` and `steps`."""
    counts = f"{len(model.tensors)}, {len(model.steps)}, {model.struct.parameter_count}"
    ends = f"{model.struct.input}, {model.struct.output}, MF_{Loss(model.struct.loss).name}"
    return (
        _structs("mf_train_tensor tensors", [_tensor(t) for t in model.tensors])
        + _structs("mf_train_step steps", [_step(s) for s in model.steps])
        + f"static const mf_train_model {name} = {{tensors, steps, {counts}, {ends}}};\n"
    )


def recipe_c(recipe: Recipe) -> str:
    """`recipe`."""
    values = (getattr(recipe, name) for name, _ in Recipe._fields_)
    numbers = (str(v) if isinstance(v, int) else real(v) for v in values)
    return f"static const mf_recipe recipe = {{{', '.join(numbers)}}};\n"


def floats_c(name: str, values: F32) -> str:
    """The definition of a constant array of floats, to the bit."""
    numbers = ", ".join(real(x) for x in values.ravel().tolist())
    return f"static const float {name}[{values.size}] = {{\n{wrapped(numbers)}}};\n"


def real(x: float) -> str:
    """A float as C has it, to the bit."""
    return f"{x.hex()}f" if isfinite(x) else f"{'-' * (x < 0)}INFINITY"


def _tensor(t: Tensor) -> str:
    shape = f"{{{t.shape.height}, {t.shape.width}, {t.shape.channels}}}"
    return f"{{{shape}, {real(t.low)}, {real(t.high)}, {real(t.step)}}}"


def _step(s: Step) -> str:
    window = ", ".join(str(getattr(s.window, name)) for name, _ in s.window._fields_)
    place = ", ".join(map(str, s.place))
    return (
        f"{{MF_{Kind(s.kind).name}, {{{s.inputs[0]}, {s.inputs[1]}}}, {s.output}, "
        f"{s.weight}, {s.bias}, {{{window}}}, {{{place}}}}}"
    )


def _arrays(i: int, codes: Codes) -> str:
    text = f"static {array(f'weights_{i}', codes.weights)}" + floats_c(f"scales_{i}", codes.scales)
    if codes.bias is not None:
        text += f"static {array(f'bias_{i}', codes.bias)}"
    if codes.mask is not None:
        text += f"static {array(f'mask_{i}', codes.mask)}"
    return text


def _stored(i: int, codes: Codes | None) -> str:
    if codes is None:
        return "{0}"
    bias = "NULL" if codes.bias is None else f"bias_{i}"
    mask = "NULL" if codes.mask is None else f"mask_{i}"
    scale = real(codes.input_scale)
    return f"{{weights_{i}, {bias}, scales_{i}, {mask}, {codes.scales.size}, {scale}}}"


def _structs(declared: str, values: Sequence[str]) -> str:
    lines = "".join(f"    {value},\n" for value in values)
    return f"static const {declared}[] = {{\n{lines}}};\n"
