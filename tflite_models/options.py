"""The options of the operators that this project evaluates or counts, by the names we use."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

Value = int | float | str | bool | tuple[int, ...]

_FUSED = {"activation": "FusedActivationFunction"}
_STRIDES = {"stride_h": "StrideH", "stride_w": "StrideW", "padding": "Padding"}
_DILATIONS = {"dilation_h": "DilationHFactor", "dilation_w": "DilationWFactor"}
_POOL = (
    "Pool2DOptions",
    {"filter_h": "FilterHeight", "filter_w": "FilterWidth"} | _STRIDES | _FUSED,
)
_REDUCER = ("ReducerOptions", {"keep_dims": "KeepDims"})
_MASKS = {
    "begin_mask": "BeginMask",
    "end_mask": "EndMask",
    "ellipsis_mask": "EllipsisMask",
    "new_axis_mask": "NewAxisMask",
    "shrink_axis_mask": "ShrinkAxisMask",
}

# operator: (its options table in the schema, our key: the table's accessor)
_OPTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "CONV_2D": ("Conv2DOptions", _STRIDES | _DILATIONS | _FUSED),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        {"depth_multiplier": "DepthMultiplier"} | _STRIDES | _DILATIONS | _FUSED,
    ),
    "FULLY_CONNECTED": ("FullyConnectedOptions", {"keep_num_dims": "KeepNumDims"} | _FUSED),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "MEAN": _REDUCER,
    "SUM": _REDUCER,
    "REDUCE_MAX": _REDUCER,
    "ADD": ("AddOptions", _FUSED),
    "SUB": ("SubOptions", _FUSED),
    "MUL": ("MulOptions", _FUSED),
    "CONCATENATION": ("ConcatenationOptions", {"axis": "Axis"} | _FUSED),
    "PACK": ("PackOptions", {"axis": "Axis"}),
    "RESHAPE": ("ReshapeOptions", {"new_shape": "NewShapeAsNumpy"}),
    "SQUEEZE": ("SqueezeOptions", {"squeeze_dims": "SqueezeDimsAsNumpy"}),
    "SOFTMAX": ("SoftmaxOptions", {"beta": "Beta"}),
    "STRIDED_SLICE": ("StridedSliceOptions", _MASKS),
    "SVDF": ("SVDFOptions", {"rank": "Rank"} | _FUSED),
}
_POSITIVE = ("stride_h", "stride_w", "dilation_h", "dilation_w", "filter_h", "filter_w")
_MOST = 2**16  # a stride or a filter beyond this is a damaged file


def _names(enum: type[Any]) -> dict[int, str]:
    return {v: k for k, v in vars(enum).items() if isinstance(v, int)}


_ENUMS = {
    "activation": _names(schema.ActivationFunctionType),
    "padding": _names(schema.Padding),
}


@dataclass(frozen=True)
class _Absent:
    """A table without fields: its accessors give the schema's defaults."""

    Bytes: bytes = struct.pack("<HHi", 4, 4, 4)
    Pos: int = 4


def options_of(name: str, operator: Any) -> Mapping[str, Value]:
    """The options of one operator of the schema; empty for operators not listed here.

    Raises ValueError where a value is not allowed, and what the schema library raises on
    damaged bytes.
    """
    if name not in _OPTIONS:
        return MappingProxyType({})
    kind, accessors = _OPTIONS[name]
    found = operator.BuiltinOptionsType()
    if found not in (schema.BuiltinOptions.NONE, getattr(schema.BuiltinOptions, kind)):
        raise ValueError(f"options of type {found} do not belong to {name}")
    at = operator.BuiltinOptions() or _Absent()
    table = getattr(schema, kind)()
    table.Init(at.Bytes, at.Pos)
    values = {key: _value(key, getattr(table, get)()) for key, get in accessors.items()}
    return MappingProxyType(values)


def _value(key: str, raw: Any) -> Value:
    if key in _ENUMS:
        if raw not in _ENUMS[key]:
            raise ValueError(f"{key} {raw}: allowed are {sorted(_ENUMS[key])}")
        return _ENUMS[key][raw]
    if key in ("new_shape", "squeeze_dims"):  # the schema gives 0 for an absent vector
        return tuple(raw[:9].tolist()) if isinstance(raw, np.ndarray) else ()
    if key in _POSITIVE and not 1 <= raw <= _MOST:
        raise ValueError(f"{key} {raw}: allowed are 1 to {_MOST}")
    return raw  # type: ignore[no-any-return]
