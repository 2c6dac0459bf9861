"""Lowering of layers with weights, of pools and of what works code by code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import (
    Call,
    Conv,
    Count,
    Dense,
    Derived,
    Filter,
    Pool,
    Real,
    Rescale,
    Scale,
    Shape,
    SoftmaxRows,
    Stored,
    Svdf,
    Window,
)
from core.int8_numbers import (
    LEAST,
    MOST,
    input_radius,
    logistic_table,
    multiplier_of,
    rescale,
    tanh_table,
)
from core.int8_site import Site, byte_coding, coding, image, range_of, same_coding, scale_of
from tflite_models.graph import Tensor


def _window(site: Site, source: Shape, target: Shape, kernel: tuple[int, int]) -> Window:
    o = site.options
    dilation = o.get("dilation_h", 1), o.get("dilation_w", 1)
    pads = []
    for length, result, k, stride, d in (
        (source.height, target.height, kernel[0], o["stride_h"], dilation[0]),
        (source.width, target.width, kernel[1], o["stride_w"], dilation[1]),
    ):
        span = (k - 1) * d + 1
        if span >= 2**31:
            raise ValueError(f"a filter that spans {span} values: below 2^31 is allowed")
        wanted = (
            -(-length // stride) if o["padding"] == "SAME" else -((span - 1 - length) // stride)
        )
        if wanted != result:
            raise ValueError(f"an output length of {result} where {wanted} is right")
        pads.append(max((result - 1) * stride + span - length, 0) // 2)
    if o["padding"] == "VALID":
        pads = [0, 0]
    return Window(*kernel, o["stride_h"], o["stride_w"], *dilation, *pads)


def _filter(site: Site, axis: int) -> tuple[Filter, int]:
    """The constants of a layer whose weights have their output channels along `axis`.

    Also gives 1 if there is a scale per channel, else 0.
    """
    weights, target = site.input(1), site.output
    q = weights.quantization
    site.constant(1, "int8")
    if q is None or q.zero_point.any() or (q.scale.size > 1 and q.axis != axis):
        raise ValueError(f"weights need zero points of 0 and scales along axis {axis}")
    bias = None
    if len(site.operator.inputs) > 2 and site.operator.inputs[2] >= 0:
        if site.constant(2, "int32").size != weights.shape[axis]:
            raise ValueError("the bias has not one value for each output channel")
        bias = Stored(site.input(2).index)
    source = coding(site.input())[0]
    scales = float(source) * q.scale.astype(float) / float(coding(target)[0])
    pairs = [multiplier_of(float(scale)) for scale in scales]
    multipliers = np.array([m for m, _ in pairs], np.int32)
    shifts = np.array([s for _, s in pairs], np.int8)
    made = Filter(Stored(weights.index), bias, Derived(multipliers), Derived(shifts))
    return made, int(q.scale.size > 1)


def _convolution(site: Site, *, depthwise: bool) -> list[Call]:
    source, target, shape = image(site.input()), image(site.output), site.input(1).shape
    zero = coding(site.input())[1]
    if len(shape) != 4:
        raise ValueError(f"weights of shape {shape}")
    made, per_channel = _filter(site, 3 if depthwise else 0)
    window = _window(site, source, target, (shape[1], shape[2]))
    if depthwise:
        depth = target.channels // source.channels
        fits = shape[0] == 1 and depth * source.channels == target.channels == shape[3]
    else:
        depth = shape[3]
        groups = source.channels // max(depth, 1)
        fits = groups * depth == source.channels and shape[0] == target.channels
        fits = fits and groups > 0 and target.channels % groups == 0
    if not fits:
        raise ValueError(f"weights of shape {shape} for {source} to {target}")
    limits = range_of(site.output, site.options["activation"])
    parameters = Conv(source, target, window, depth, zero, per_channel, limits)
    kernel = "depthwise_conv_2d" if depthwise else "conv_2d"
    return [site.call(kernel, parameters, filter=made)]


def _fully_connected(site: Site) -> list[Call]:
    source, target, shape = site.input(), site.output, site.input(1).shape
    zero = coding(source)[1]
    if len(shape) != 2 or prod(source.shape) % shape[1]:
        raise ValueError(f"weights of shape {shape} for an input of shape {source.shape}")
    rows = prod(source.shape) // shape[1]
    if prod(target.shape) != rows * shape[0]:
        raise ValueError(f"an output of shape {target.shape} for {rows} rows of {shape[0]}")
    made, per_channel = _filter(site, 0)
    limits = range_of(target, site.options["activation"])
    parameters = Dense(rows, shape[1], shape[0], zero, per_channel, limits)
    return [site.call("fully_connected", parameters, filter=made)]


def _svdf(site: Site) -> list[Call]:
    (source, zero), (target, _) = coding(site.input()), coding(site.output)
    features, times, state = site.input(1), site.input(2), site.input(4)
    site.constant(1, "int8")
    site.constant(2, "int16")
    rank, filters = site.options["rank"], features.shape[0] if features.shape else 0
    if len(features.shape) != 2 or rank < 1 or filters % rank or len(times.shape) != 2:
        raise ValueError(f"weights of {features.shape} and {times.shape} for a rank of {rank}")
    units, memory = filters // rank, times.shape[1]
    if (
        prod(site.input().shape) != features.shape[1]
        or times.shape[0] != filters
        or prod(site.output.shape) != units
        or state.dtype != np.int16
        or prod(state.shape) != filters * memory
        or not state.is_state
    ):
        raise ValueError(f"shapes that do not fit together, or a state that is {state.dtype.name}")
    bias: Stored | Derived = Derived(np.zeros(units, np.int32))
    if site.operator.inputs[3] >= 0:
        if site.constant(3, "int32").size != units:
            raise ValueError("the bias has not one value for each unit")
        bias = Stored(site.input(3).index)
    scales = [float(_scale(tensor)) for tensor in (features, times, state)]
    parameters = Svdf(
        features.shape[1],
        units,
        rank,
        memory,
        zero,
        scale_of(float(source) * scales[0] / scales[2]),
        scale_of(scales[2] * scales[1] / float(target)),
        range_of(site.output),
    )
    call = site.call("svdf", parameters, site.input(), features, times)
    return [replace(call, inputs=(*call.inputs, bias))]


def _scale(tensor: Tensor) -> np.float32:
    q = tensor.quantization
    if q is None or q.scale.size != 1 or q.zero_point.any():
        raise ValueError(f"tensor {tensor.index} needs one scale and a zero point of 0")
    return np.float32(q.scale[0])


def _pool(site: Site, kernel: str) -> list[Call]:
    same_coding(site, site.input())
    source, target = image(site.input()), image(site.output)
    if source.channels != target.channels:
        raise ValueError(f"{source} to {target}")
    window = _window(site, source, target, (site.options["filter_h"], site.options["filter_w"]))
    limits = range_of(site.output, site.options["activation"])
    return [site.call(kernel, Pool(source, target, window, limits.least, limits.most))]


def _softmax(site: Site) -> list[Call]:
    scale, _ = coding(site.input())
    if coding(site.output) != (np.float32(1 / 256), LEAST):
        raise ValueError("the output needs a scale of 1/256 and a zero point of -128")
    columns = site.input().shape[-1] if site.input().shape else 1
    beta = np.float32(site.options["beta"])
    real = float(beta) * float(scale) * 2.0**26
    if real >= 2**30:  # one code below the largest is nothing already
        multiplier, shift, least = 0, 0, 0
    else:
        multiplier, shift = multiplier_of(real)
        least = -input_radius(5, shift)
    if shift < 0:
        raise ValueError(f"beta {beta} and input scale {scale} are too small")
    rows = SoftmaxRows(
        prod(site.input().shape) // columns, columns, Scale(multiplier, shift), least
    )
    return [site.call("softmax", rows)]


def _table(
    site: Site, make: Callable[[np.float32, int], NDArray[np.int8]], coded: tuple[np.float32, int]
) -> list[Call]:
    if coding(site.output) != coded:
        raise ValueError(f"the output needs scale {coded[0]} and zero point {coded[1]}")
    call = site.call("lookup", Count(prod(site.output.shape)))
    return [replace(call, inputs=(*call.inputs, Derived(make(*coding(site.input())))))]


def _rescale(site: Site, activation: str = "NONE") -> list[Call]:
    """Codes of the input's scale as codes of the output's."""
    (source, zero), (target, _) = coding(site.input()), coding(site.output)
    parameters = Rescale(
        prod(site.output.shape),
        zero,
        scale_of(float(source) / float(target)),
        range_of(site.output, activation),
    )
    return [site.call("requantize", parameters)]


def _relu6(site: Site) -> list[Call]:
    """RELU6 keeps codes as they are, even where the output has another scale."""
    limits = range_of(site.input(), "RELU6")
    coding(site.output)
    count = prod(site.output.shape)
    return [site.call("requantize", Rescale(count, limits.zero_point, scale_of(1.0), limits))]


def _quantize(site: Site) -> list[Call]:
    if np.uint8 in (site.input().dtype, site.output.dtype):
        return _of_bytes(site)
    if site.input().dtype == np.int8:
        return _rescale(site)
    if site.input().dtype != np.float32:
        raise ValueError(f"from {site.input().dtype.name}: float32, int8 and uint8 are allowed")
    scale, zero_point = coding(site.output)
    return [site.call("quantize", Real(prod(site.output.shape), zero_point, float(scale)))]


def _of_bytes(site: Site) -> list[Call]:
    """QUANTIZE between uint8 and int8: a table of all bytes, in the order of int8."""
    source, zero = byte_coding(site.input())
    target, target_zero = byte_coding(site.output)
    codes = np.arange(LEAST, MOST + 1)
    if site.input().dtype == np.uint8:
        codes = codes % 256
    scale = multiplier_of(float(source) / float(target))
    ends = np.iinfo(site.output.dtype)
    made = np.array([rescale(int(x) - zero, *scale) + target_zero for x in codes])
    table = made.clip(ends.min, ends.max).astype(site.output.dtype).view(np.int8)
    call = site.call("lookup", Count(prod(site.output.shape)))
    return [replace(call, inputs=(*call.inputs, Derived(table)))]


def _dequantize(site: Site) -> list[Call]:
    if site.output.dtype != np.float32:
        raise ValueError(f"to {site.output.dtype.name}: float32 is allowed")
    scale, zero_point = coding(site.input())
    return [site.call("dequantize", Real(prod(site.output.shape), zero_point, float(scale)))]


OPERATORS: dict[str, Callable[[Site], list[Call]]] = {
    "CONV_2D": lambda site: _convolution(site, depthwise=False),
    "DEPTHWISE_CONV_2D": lambda site: _convolution(site, depthwise=True),
    "FULLY_CONNECTED": _fully_connected,
    "SVDF": _svdf,
    "AVERAGE_POOL_2D": lambda site: _pool(site, "average_pool_2d"),
    "MAX_POOL_2D": lambda site: _pool(site, "max_pool_2d"),
    "SOFTMAX": _softmax,
    "LOGISTIC": lambda site: _table(site, logistic_table, (np.float32(1 / 256), LEAST)),
    "TANH": lambda site: _table(site, tanh_table, (np.float32(1 / 128), 0)),
    "RELU": lambda site: _rescale(site, "RELU"),
    "RELU6": _relu6,
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
}
