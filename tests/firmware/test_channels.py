"""Dropping dead channels changes the size of a model and not its output."""

import numpy as np
import pytest

from firmware.compiler.channels import drop_channels
from firmware.compiler.network import read_network
from tests.core.oracle_models import Step, activation, constant, make_file
from tflite_models.graph import read_graph


def weights(rng, shape, dead, axis):
    codes = rng.integers(-127, 128, shape).astype(np.int8)
    np.moveaxis(codes, axis, 0)[dead] = 0
    return constant(codes, scale=np.full(shape[axis], 0.02), axis=axis)


def bias(rng, channels):
    return constant(rng.integers(-3000, 3000, channels).astype(np.int32), scale=0.001)


def network(rng, *, padding, zero_at):
    """1 × 1 convolution with dead channels → depthwise → 1 × 1 convolution.

    Of the dead channels those in `zero_at` have a bias that gives the zero point.
    """
    first_bias = bias(rng, 12)
    first_bias.data[list(zero_at)] = -30_000
    tensors = [
        activation((1, 6, 5, 8), scale=0.05, zero=-128),
        weights(rng, (12, 1, 1, 8), [1, 4, 5, 9], 0),
        first_bias,
        activation((1, 6, 5, 12), scale=0.05, zero=-128),
        weights(rng, (1, 3, 3, 12), [2, 7], 3),
        bias(rng, 12),
        activation((1, 6, 5, 12) if padding == 0 else (1, 4, 3, 12), scale=0.05, zero=-128),
        weights(rng, (7, 1, 1, 12), [3], 0),
        bias(rng, 7),
        activation((1, 6, 5, 7) if padding == 0 else (1, 4, 3, 7), scale=0.05, zero=-10),
    ]
    strides = {"strideH": 1, "strideW": 1, "padding": padding}
    strides |= {"dilationHFactor": 1, "dilationWFactor": 1}
    relu = strides | {"fusedActivationFunction": 1}
    return make_file(
        tensors,
        [
            Step("CONV_2D", [0, 1, 2], 3, relu),
            Step("DEPTHWISE_CONV_2D", [3, 4, 5], 6, relu | {"depthMultiplier": 1}),
            Step("CONV_2D", [6, 7, 8], 9, strides),
        ],
    )


SAME, VALID = 0, 1


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("seed", range(6))
def test_a_model_without_its_dead_channels_gives_the_oracles_bytes(padding, seed, same_as_oracle):
    same_as_oracle(network(np.random.default_rng(seed), padding=padding, zero_at=(4, 9)))


def channels_left(file):
    layers = drop_channels(read_network(read_graph(file))).layers
    return [len(layer.weights.codes) for layer in layers]


def test_without_padding_every_dead_channel_goes():
    file = network(np.random.default_rng(0), padding=VALID, zero_at=())
    assert channels_left(file) == [6, 6, 7]


def test_with_padding_a_dead_channel_stays_unless_borders_see_no_difference():
    rng = np.random.default_rng(1)
    kept = channels_left(network(rng, padding=SAME, zero_at=(1, 4, 5, 9)))
    assert kept == [6, 6, 7]
    rng = np.random.default_rng(1)
    file = network(rng, padding=SAME, zero_at=())
    assert channels_left(file)[0] >= 6
