"""Whole local epochs: the core beside the NumPy twin, and each path beside the portable one."""

from pathlib import Path as File

import numpy as np
import pytest

from core.train import Path, paths
from device_sim.native import Native
from device_sim.trainer import DivergedError
from device_sim.twin import Twin
from tests.device_sim.twin.conftest import Sketch, read_model
from tflite_models.scope import ALL
from wire.messages import Recipe

ROOT = File(__file__).parents[2]
FILES = [
    *sorted((ROOT / "tflite_models").glob("*/model.tflite")),
    *sorted((ROOT / "tests" / "fixtures").glob("*.tflite")),
    ROOT / "tests" / "device_sim" / "twin" / "digits.tflite",
]
SAMPLES = 37  # not a whole number of batches or tiles
PLAIN = Recipe(epochs=1, batch=16, learning_rate=0.02)
FULL = Recipe(
    *(2, 10, 0.01, 0.5),  # epochs, batch, learning rate, momentum
    weight_decay=0.01,
    proximal=0.1,
    clip_norm=0.5,
)
RECIPES = {
    "plain": PLAIN,
    "everything": FULL,
    "fake quantisation": Recipe(1, 16, 0.001, fake_quantize=1),
}


@pytest.fixture(scope="module", params=FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def model(request):
    return read_model(request.param)


def data(model, rng):
    x, y = model.inputs(rng, SAMPLES)
    return (2 * x - 1).astype(np.float32), y


def moved(trained, model):
    """How far training went."""
    return np.linalg.norm(trained.weights - model.weights * model.layout.mask)


@pytest.mark.parametrize("name", RECIPES)
def test_an_epoch_ends_within_1e_4_of_the_twins(model, rng, name):
    x, y = data(model, rng)
    twin = model.twin.train(model.weights, x, y, RECIPES[name], seed=3)
    core = Native(model.graph, model.layout).train(model.weights, x, y, RECIPES[name], seed=3)
    assert np.linalg.norm(core.weights - twin.weights) <= 1e-4 * moved(twin, model)
    assert core.loss_before == pytest.approx(twin.loss_before, rel=1e-5)
    assert core.loss_after == pytest.approx(twin.loss_after, rel=1e-4)
    assert core.samples == twin.samples == SAMPLES


def test_rotated_samples_turn_as_the_twins_do(rng):
    har = read_model(ROOT / "tflite_models" / "har" / "model.tflite")
    x, y = data(har, rng)
    recipe = Recipe(2, 16, 0.02, rotation=25.0)
    twin = har.twin.train(har.weights, x, y, recipe, seed=9)
    core = Native(har.graph, har.layout).train(har.weights, x, y, recipe, seed=9)
    still = Native(har.graph, har.layout).train(har.weights, x, y, Recipe(2, 16, 0.02), seed=9)
    assert np.linalg.norm(core.weights - twin.weights) <= 1e-4 * moved(twin, har)
    assert np.linalg.norm(core.weights - still.weights) > 0.1 * moved(twin, har)


@pytest.mark.parametrize("name", RECIPES)
def test_all_paths_and_tiles_give_the_same_bits(model, rng, name):
    x, y = data(model, rng)
    results = set()
    for path in paths():
        native = Native(model.graph, model.layout, path=path)
        for tile in (None, 3):
            native._plan = native._laid_out(ALL, tile) if tile else native._plan
            done = native.train(model.weights, x, y, RECIPES[name], seed=5)
            results.add((done.weights.tobytes(), done.loss_before, done.loss_after))
    assert len(results) == 1


def joined():
    """Every operator that the files above have not: MUL, CONCATENATION, PAD, a wide depthwise."""
    net = Sketch(6, 5, 2)
    window = {"stride_h": 1, "stride_w": 1, "padding": "VALID", "activation": "RELU"}
    dilation = {"dilation_h": 1, "dilation_w": 1}
    rng = np.random.default_rng(4)

    def codes(*shape):
        return net.constant(rng.integers(-9, 9, shape), scale=0.03)

    left = net.add("CONV_2D", codes(3, 1, 1, 2), to=(6, 5, 3), x=net.source, **window, **dilation)
    right = net.add("CONV_2D", codes(3, 1, 1, 2), to=(6, 5, 3), x=net.source, **window, **dilation)
    both = net.add("MUL", right, to=(6, 5, 3), x=left, activation="NONE")
    net.add("CONCATENATION", both, right, to=(6, 5, 9), x=left, axis=-1, activation="NONE")
    amounts = net.constant([[0, 0], [1, 1], [0, 1], [0, 0]], np.int32, scale=None)
    net.add("PAD", amounts, to=(8, 6, 9))
    kernel = codes(1, 3, 2, 18)
    net.add("DEPTHWISE_CONV_2D", kernel, to=(6, 5, 18), depth_multiplier=2, **window, **dilation)
    net.add("RESHAPE", to=(540,))
    net.dense(rng.integers(-3, 3, (4, 540)))
    return net


def test_joined_and_padded_activations_train_as_the_twin_trains_them(rng):
    net = joined()
    twin, weights = net.twin()
    x = rng.uniform(-1, 1, (20, 6, 5, 2)).astype(np.float32)
    y = rng.integers(0, 4, 20)
    wanted = twin.train(weights, x, y, PLAIN, seed=1)
    found = [
        Native(net.graph, twin.layout, path=path).train(weights, x, y, PLAIN, seed=1).weights
        for path in paths()
    ]
    far = np.linalg.norm(wanted.weights - weights)
    assert np.linalg.norm(found[0] - wanted.weights) <= 1e-4 * far
    assert len({weights.tobytes() for weights in found}) == 1


def test_layers_that_share_weights_train_alike_on_every_path(rng):
    """The sum of their gradients hangs on how many samples go through them together."""
    net = Sketch(32, 32, 6)
    kernel = net.constant(rng.integers(-1, 2, (6, 3, 3, 6)), scale=0.1)
    steps = {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1}
    for _ in range(2):
        net.add("CONV_2D", kernel, to=(32, 32, 6), padding="SAME", activation="NONE", **steps)
    net.add("MEAN", net.constant([1, 2], np.int32, scale=None), to=(6,), keep_dims=False)
    net.dense(rng.integers(-1, 2, (3, 6)))
    twin, weights = net.twin()
    x = rng.normal(size=(24, 32, 32, 6)).astype(np.float32)
    y = rng.integers(0, 3, 24)
    trained = {
        Native(net.graph, twin.layout, path=path)
        .train(weights, x, y, Recipe(1, 24, 0.05), seed=1)
        .weights.tobytes()
        for path in paths()
    }
    assert len(trained) == 1


def test_an_autoencoder_learns_to_give_back_its_input(rng):
    net = Sketch(12)
    codes = np.random.default_rng(2).integers(-4, 5, (3, 12))
    net.dense(codes)
    net.dense(codes.T)
    twin, weights = net.twin()
    weights = weights * np.float32(0.1)
    twin = Twin(net.graph, twin.layout, reconstructs=True)
    native = Native(net.graph, twin.layout, reconstructs=True)
    x = (rng.normal(size=(64, 3)) @ rng.normal(size=(3, 12))).astype(np.float32)
    y = np.zeros(64, np.int64)
    recipe = Recipe(20, 8, 0.05, momentum=0.5)
    wanted, found = (each.train(weights, x, y, recipe, seed=2) for each in (twin, native))
    assert found.loss_after < 0.5 * found.loss_before
    assert found.loss_after == pytest.approx(wanted.loss_after, rel=1e-4)


def test_pruned_weights_stay_exactly_zero(rng):
    pruned = read_model(ROOT / "tests" / "fixtures" / "dense.tflite")
    x, y = data(pruned, rng)
    received = np.where(pruned.layout.mask, pruned.weights, np.float32(0.5))
    done = Native(pruned.graph, pruned.layout).train(received, x, y, FULL, seed=3)
    assert (~pruned.layout.mask).sum() >= 40
    assert not done.weights[~pruned.layout.mask].any()


def test_training_that_leaves_the_finite_numbers_says_so(model, rng):
    x, y = data(model, rng)
    hot = Recipe(50, 5, 1e38, weight_decay=1.0)
    with pytest.raises(DivergedError, match="not finite, with Recipe"):
        Native(model.graph, model.layout).train(model.weights, x, y, hot, seed=1)


def test_predictions_are_the_twins(model, rng):
    x, _ = data(model, rng)
    found = Native(model.graph, model.layout).predict(model.weights, x)
    wanted = model.twin.predict(model.weights, x)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1.0, np.abs(wanted).max()))
    alone = Native(model.graph, model.layout, path=Path.PORTABLE).predict(model.weights, x[:1])
    assert alone.tobytes() == found[:1].tobytes()
