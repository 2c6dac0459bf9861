"""The structs of firmware/core/include/microfed/int8.h, and filling them from kernel calls."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_float, c_int32, c_uint32, c_void_p
from dataclasses import is_dataclass
from typing import Any

from core.int8_calls import RANK

_AXES = c_int32 * RANK


def _struct(_name: str, /, **fields: Any) -> type[ctypes.Structure]:
    return type(_name, (ctypes.Structure,), {"_fields_": list(fields.items())})


def _numbers(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), c_int32)


_SHAPE = _struct("mf_shape", **_numbers("height width channels"))
_WINDOW = _struct(
    "mf_window",
    **_numbers("kernel_height kernel_width stride_height stride_width"),
    **_numbers("dilation_height dilation_width pad_top pad_left"),
)
_SCALE = _struct("mf_int8_scale", **_numbers("multiplier shift"))
_RANGE = _struct("mf_int8_range", **_numbers("zero_point least most"))
_SLIDING = {"input": _SHAPE, "output": _SHAPE, "window": _WINDOW}
_CONV = _struct(
    "mf_int8_conv", **_SLIDING, **_numbers("depth input_zero per_channel"), range=_RANGE
)
_DENSE = _struct(
    "mf_int8_dense", **_numbers("rows inputs outputs input_zero per_channel"), range=_RANGE
)
_POOL = _struct("mf_int8_pool", **_SLIDING, **_numbers("least most"))
_MEAN = _struct(
    "mf_int8_mean_axis", **_numbers("outer count inner input_zero"), scale=_SCALE, range=_RANGE
)
_PAIR = _struct("mf_int8_pair", length=_AXES, step=_AXES * 2)
_SUM = _struct(
    "mf_int8_sum",
    axes=_PAIR,
    sign=c_int32,
    zero=c_int32 * 2,
    input_scale=_SCALE * 2,
    scale=_SCALE,
    range=_RANGE,
)
_PRODUCT = _struct("mf_int8_product", axes=_PAIR, zero=c_int32 * 2, scale=_SCALE, range=_RANGE)
_MOVE = _struct(
    "mf_int8_move",
    length=_AXES,
    **_numbers("input_start output_start"),
    input_step=_AXES,
    output_step=_AXES,
)
_FILLING = _struct("mf_int8_filling", **_numbers("count value"))
_SOFTMAX = _struct("mf_int8_softmax_rows", **_numbers("rows columns"), scale=_SCALE, least=c_int32)
_COUNT = _struct("mf_int8_count", count=c_int32)
_RESCALE = _struct("mf_int8_rescale", **_numbers("count input_zero"), scale=_SCALE, range=_RANGE)
_REAL = _struct("mf_int8_real", **_numbers("count zero_point"), scale=c_float)

# a kernel's name: (its number in mf_int8_kind, the union's field that holds its parameters)
KINDS = {
    "conv_2d": (0, "conv"),
    "depthwise_conv_2d": (1, "conv"),
    "fully_connected": (2, "dense"),
    "average_pool_2d": (3, "pool"),
    "max_pool_2d": (4, "pool"),
    "mean": (5, "mean"),
    "add": (6, "sum"),
    "mul": (7, "product"),
    "copy": (8, "move"),
    "fill": (9, "filling"),
    "softmax": (10, "softmax"),
    "lookup": (11, "lookup"),
    "requantize": (12, "rescale"),
    "quantize": (13, "real"),
    "dequantize": (14, "real"),
}


class With(ctypes.Union):
    """The parameters of a step."""

    _fields_ = (
        ("conv", _CONV),
        ("dense", _DENSE),
        ("pool", _POOL),
        ("mean", _MEAN),
        ("sum", _SUM),
        ("product", _PRODUCT),
        ("move", _MOVE),
        ("filling", _FILLING),
        ("softmax", _SOFTMAX),
        ("lookup", _COUNT),
        ("rescale", _RESCALE),
        ("real", _REAL),
    )


ARENA, MODEL, DERIVED = 1, 2, 3  # mf_int8_memory


class Place(ctypes.Structure):
    """mf_int8_place."""

    _fields_ = (("memory", c_int32), ("offset", c_uint32))


class Step(ctypes.Structure):
    """mf_int8_step."""

    _fields_ = (
        ("kind", c_int32),
        ("input", Place * 2),
        ("output", Place),
        ("weights", Place),
        ("bias", Place),
        ("multipliers", Place),
        ("shifts", Place),
        ("parameters", With),
    )


class Plan(ctypes.Structure):
    """mf_int8_plan."""

    _fields_ = (
        ("steps", POINTER(Step)),
        ("model", c_void_p),
        ("derived", c_void_p),
        ("packed", c_void_p),
        ("step_count", c_uint32),
        ("model_size", c_uint32),
        ("derived_size", c_uint32),
        ("arena_size", c_uint32),
        ("input", c_uint32),
        ("input_size", c_uint32),
        ("output", c_uint32),
        ("output_size", c_uint32),
        ("path", c_int32),
        ("scratch_size", c_uint32),
    )


def fill(struct: ctypes.Structure, values: Any) -> None:
    """Give every field of a struct the attribute of that name."""
    for name, _ in type(struct)._fields_:  # type: ignore[misc] # every field has a name and a type
        value = getattr(values, name)
        if is_dataclass(value):
            fill(getattr(struct, name), value)
        elif isinstance(value, tuple):
            _fill_array(getattr(struct, name), value)
        else:
            setattr(struct, name, value)


def _fill_array(array: Any, values: tuple[Any, ...]) -> None:
    for i, value in enumerate(values):
        if is_dataclass(value):
            fill(array[i], value)
        elif isinstance(value, tuple):
            _fill_array(array[i], value)
        else:
            array[i] = value
