"""Layers with weights and pools: the oracle's bytes on every path, for odd geometries."""

import numpy as np
import pytest

from tests.core.oracle_models import Step, activation, constant, make_file

CHANNELS = (1, 3, 5, 8, 13, 16, 33)
SAME, VALID = 0, 1
ACTIVATIONS = {0: "none", 1: "relu", 2: "relu to 1", 3: "relu6"}


def pick(rng, *values):
    return values[int(rng.integers(len(values)))]


def output_length(length, kernel, stride, dilation, padding):
    span = (kernel - 1) * dilation + 1
    return -(-length // stride) if padding == SAME else (length - span) // stride + 1


def window(rng, *, dilated):
    """Options of a sliding window, and the kernel and input lengths that go with them."""
    kernel = [pick(rng, 1, 2, 3, 5), pick(rng, 1, 3, 4)]
    dilation = [pick(rng, 1, 2), pick(rng, 1, 2)] if dilated and rng.random() < 0.4 else [1, 1]
    stride = [pick(rng, 1, 2), pick(rng, 1, 2, 3)] if max(dilation) == 1 else [1, 1]
    padding = pick(rng, SAME, VALID)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    lengths = [int(rng.integers(s, s + 9)) for s in spans]
    options = {"strideH": stride[0], "strideW": stride[1], "padding": padding}
    if dilated:
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    options["fusedActivationFunction"] = pick(rng, *ACTIVATIONS)
    outputs = [
        output_length(*each, padding)
        for each in zip(lengths, kernel, stride, dilation, strict=True)
    ]
    return options, kernel, lengths, outputs


def weights_and_scales(rng, shape, axis, taps, *, wild):
    """Weights, bias and scales; `wild` ones differ by 2^20 between channels."""
    channels = shape[axis]
    weights = rng.integers(-127, 128, shape).astype(np.int8)
    spread = rng.uniform(-14, 6, channels) if wild else rng.uniform(-1, 1, channels)
    scales = np.float32(0.01 / np.sqrt(taps) * 2.0**spread)
    bias = rng.integers(-20_000, 20_000, channels).astype(np.int32)
    if wild:
        bias[rng.random(channels) < 0.2] = 2**30
        np.moveaxis(weights, axis, 0)[rng.random(channels) < 0.2] = 0
    return weights, scales, bias


def filter_tensors(rng, weights, scales, bias, axis, input_scale):
    per_channel = bool(rng.random() < 0.8)
    used = scales if per_channel else scales[:1]
    return [
        constant(weights, scale=used, axis=axis),
        constant(bias, scale=np.float32(input_scale) * used),
    ]


def layer(rng, name, source, target, tensors, options, *, bias=True):
    zero_in, zero_out = (int(z) for z in rng.integers(-128, 128, 2))
    scale_out = 0.05 * 2.0 ** float(rng.uniform(-2, 2))
    return make_file(
        [
            activation(source, scale=0.05, zero=zero_in),
            *tensors,
            activation(target, scale=scale_out, zero=zero_out),
        ],
        [Step(name, [0, 1, 2] if bias else [0, 1, -1], 3, options)],
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_convolution_gives_the_oracles_bytes(seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    options, kernel, lengths, outputs = window(rng, dilated=True)
    channels, filters = pick(rng, *CHANNELS), pick(rng, *CHANNELS)
    taps = kernel[0] * kernel[1] * channels
    made = weights_and_scales(rng, (filters, *kernel, channels), 0, taps, wild=seed % 4 == 0)
    tensors = filter_tensors(rng, *made, 0, 0.05)
    target = (1, *outputs, filters)
    same_as_oracle(
        layer(rng, "CONV_2D", (1, *lengths, channels), target, tensors, options, bias=seed % 5 > 0)
    )


@pytest.mark.parametrize(("channels", "groups", "filters"), [(8, 2, 6), (6, 3, 3), (16, 16, 32)])
def test_a_grouped_convolution_gives_the_oracles_bytes(channels, groups, filters, same_as_oracle):
    rng = np.random.default_rng(channels)
    depth = channels // groups
    made = weights_and_scales(rng, (filters, 3, 3, depth), 0, 9 * depth, wild=False)
    options = {"strideH": 1, "strideW": 1, "padding": SAME}
    tensors = filter_tensors(rng, *made, 0, 0.05)
    shape = (1, 5, 4)
    same_as_oracle(layer(rng, "CONV_2D", (*shape, channels), (*shape, filters), tensors, options))


@pytest.mark.parametrize("seed", range(40))
def test_a_depthwise_convolution_gives_the_oracles_bytes(seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    options, kernel, lengths, outputs = window(rng, dilated=True)
    channels, depth = pick(rng, *CHANNELS, 64, 70), pick(rng, 1, 1, 1, 2, 3)
    options["depthMultiplier"] = depth
    shape = (1, *kernel, channels * depth)
    made = weights_and_scales(rng, shape, 3, kernel[0] * kernel[1], wild=seed % 4 == 0)
    tensors = filter_tensors(rng, *made, 3, 0.05)
    source, target = (1, *lengths, channels), (1, *outputs, channels * depth)
    # always with a bias: without one the oracle crashes
    same_as_oracle(layer(rng, "DEPTHWISE_CONV_2D", source, target, tensors, options))


@pytest.mark.parametrize("seed", range(24))
def test_a_fully_connected_layer_gives_the_oracles_bytes(seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    inputs, outputs = pick(rng, *CHANNELS, 100, 257), pick(rng, *CHANNELS)
    rows = pick(rng, 1, 1, 5)
    made = weights_and_scales(rng, (outputs, inputs), 0, inputs, wild=seed % 4 == 0)
    tensors = filter_tensors(rng, *made, 0, 0.05)
    options = {"fusedActivationFunction": pick(rng, *ACTIVATIONS), "keepNumDims": rows > 1}
    source = (1, rows, inputs) if rows > 1 else (1, inputs)
    target = (1, rows, outputs) if rows > 1 else (1, outputs)
    same_as_oracle(
        layer(rng, "FULLY_CONNECTED", source, target, tensors, options, bias=seed % 5 > 0)
    )


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("seed", range(20))
def test_a_pool_gives_the_oracles_bytes(kind, seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    options, kernel, lengths, outputs = window(rng, dilated=False)
    channels = pick(rng, *CHANNELS)
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1]}
    coded = {"scale": 0.03, "zero": int(rng.integers(-128, 128))}
    same_as_oracle(
        make_file(
            [
                activation((1, *lengths, channels), **coded),
                activation((1, *outputs, channels), **coded),
            ],
            [Step(kind, [0], 1, options)],
        )
    )


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
@pytest.mark.parametrize("scales", [1, 400])
@pytest.mark.parametrize("seed", range(6))
def test_multipliers_are_the_oracles_to_the_last_bit(kind, scales, seed, same_as_oracle):
    """Biases of 400 channels lie closely around where codes change, the weights are zero."""
    rng = np.random.default_rng(seed)
    sizes = 2.0 ** rng.uniform(-0.5, 0.5, 3)
    source, target = np.float32(0.0123 * sizes[0]), np.float32(0.0345 * sizes[1])
    weight = np.float32(2.0**-22 * sizes[2])
    edge = 120.5 * float(target) / (float(source) * float(weight))
    bias = (round(edge) + np.arange(-200, 200)).astype(np.int32)
    kernel = {"CONV_2D": (400, 1, 1, 1), "DEPTHWISE_CONV_2D": (1, 1, 1, 400)}.get(kind, (400, 1))
    axis = kernel.index(400)
    shape = (1,) if kind == "FULLY_CONNECTED" else (1, 1, 1)
    tensors = [
        activation((*shape, 1), scale=source),
        constant(np.zeros(kernel, np.int8), scale=np.full(scales, weight), axis=axis),
        constant(bias, scale=np.full(scales, source * weight)),
        activation((*shape, 400), scale=target),
    ]
    options = {} if kind == "FULLY_CONNECTED" else {"strideH": 1, "strideW": 1}
    if kind == "DEPTHWISE_CONV_2D":
        options["depthMultiplier"] = 400
    same_as_oracle(make_file(tensors, [Step(kind, [0, 1, 2], 3, options)]))
