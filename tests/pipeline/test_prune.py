"""Pruning and quantisation of single small networks: counts, depthwise kernels, refusals."""

import numpy as np
import pytest

from pipeline.errors import BuildError
from pipeline.settings import ModelSettings, PruneSettings

pytestmark = pytest.mark.tensorflow

SETTINGS = ModelSettings(batch=8)


@pytest.fixture(scope="module")
def samples():
    from pipeline.train import Samples

    rng = np.random.default_rng(1)
    return Samples(rng.random((32, 6, 6, 1), np.float32), np.arange(32, dtype=np.int32) % 3, 3)


def network():
    """A kernel of each kind: 3x3x1x4, depthwise 3x3x4, 4x3."""
    from pipeline.tf import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Conv2D(4, 3, use_bias=False, input_shape=(6, 6, 1)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def pruned(samples, **settings):
    """A fresh network and its copy after a short pruning."""
    from pipeline.prune import api, finished, prunable
    from pipeline.train import steps_of, train

    model = network()
    copy = prunable(model, PruneSettings(**settings), steps_of(samples, SETTINGS, 3))
    train(
        copy, samples, SETTINGS, epochs=3, learning_rate=1e-3, seed=1,
        callbacks=[api.UpdatePruningStep()],
    )  # fmt: skip
    return model, finished(copy)


@pytest.fixture(scope="module", params=[False, True], ids=["dense and conv", "depthwise too"])
def case(request, samples):
    return request.param, *pruned(samples, sparsity=0.7, depthwise=request.param)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_the_least_of_what_is_left_in_each_kernel_goes_whatever_the_kernels_scale(factor):
    from pipeline.prune import zeros_of

    # scores: even 1/4, 1/3, 1/2, 1; steep 1/50, 1
    even, steep = factor * np.ones((2, 2)), np.array([-7.0, 1.0])
    assert zeros_of([even, steep], 0.5) == [2, 1]
    assert zeros_of([even, steep], 4 / 6) == [3, 1]


def test_a_kernel_of_nothing_but_zeros_goes_first():
    from pipeline.prune import zeros_of

    assert zeros_of([np.array([1.0, 2.0]), np.zeros(2)], 0.5) == [0, 2]


def test_each_kernel_gets_its_count_of_zeros_and_all_together_the_asked_share(case):
    from pipeline.prune import kernels_of, zeros_of

    depthwise, before, after = case
    kernels = kernels_of(after, depthwise=depthwise)
    assert [k.size for k in kernels] == ([36, 36, 12] if depthwise else [36, 12])
    counts = zeros_of(kernels_of(before, depthwise=depthwise), 0.7)
    assert [(k == 0).sum() for k in kernels] == counts
    assert sum(counts) == np.ceil(0.7 * sum(k.size for k in kernels))


def test_depthwise_kernels_are_left_alone_unless_asked(case):
    from pipeline.prune import kernels_of

    depthwise, _, after = case
    dense = [k for k in kernels_of(after, depthwise=True) if not (k == 0).any()]
    assert len(dense) == (0 if depthwise else 1)


def test_pruning_leaves_the_original_alone(case):
    from pipeline.prune import kernels_of

    _, before, _ = case
    assert all((k != 0).all() for k in kernels_of(before, depthwise=True))
    normalised = [layer for layer in before.layers if "batch" in layer.name]
    assert [layer.moving_mean.numpy().tolist() for layer in normalised] == [[0.0] * 4]


def test_what_is_finished_is_plain_layers(case):
    _, before, after = case
    assert [type(layer) for layer in after.layers] == [type(layer) for layer in before.layers]


def test_quantisation_keeps_the_zeros_of_depthwise_kernels_too(samples):
    from pipeline.prune import KeepZeros
    from pipeline.quantize import int8_file, quantizable
    from pipeline.train import train
    from pipeline.verify import sparsity_in

    _, model = pruned(samples, sparsity=0.7, depthwise=True)
    quantized = quantizable(model, samples.x, keep_zeros=True)
    train(
        quantized, samples, SETTINGS, epochs=2, learning_rate=1e-2, seed=1,
        callbacks=[KeepZeros(quantized)],
    )  # fmt: skip
    file = int8_file(quantized)
    assert sparsity_in(file, depthwise=True) >= 0.7


def test_a_model_that_the_toolkit_cannot_take_is_refused_as_ours():
    from pipeline.quantize import quantizable
    from pipeline.tf import keras

    recurrent = keras.Sequential([keras.Input((4, 2)), keras.layers.LSTM(3)])
    with pytest.raises(BuildError, match="cannot be trained for int8"):
        quantizable(recurrent, np.zeros((1, 4, 2), np.float32), keep_zeros=False)
