"""Local training: it learns, keeps its zeros, repeats itself, and refuses what does not fit."""

import numpy as np
import pytest

from device_sim.trainer import DivergedError
from device_sim.twin import Twin
from wire.messages import Recipe

RECIPE = Recipe(epochs=2, batch=10, learning_rate=0.05, momentum=0.9)


def accuracy(model, weights, x, y):
    return (model.twin.predict(weights, x).argmax(axis=1) == y).mean()


def test_training_a_weak_model_of_digits_lowers_loss_and_raises_accuracy(weak, digits):
    x, y = digits
    fleet, test = slice(90, -400), slice(-400, None)
    recipe = Recipe(epochs=3, batch=16, learning_rate=0.02, momentum=0.9)
    done = weak.twin.train(weak.weights, x[fleet], y[fleet], recipe, seed=1)
    assert done.samples == len(x) - 490
    assert done.loss_after < 0.5 * done.loss_before
    before = accuracy(weak, weak.weights, x[test], y[test])
    assert accuracy(weak, done.weights, x[test], y[test]) >= before + 0.02


def test_losses_are_those_of_the_weights_before_and_after(pruned, rng):
    x, y = pruned.inputs(rng, 45)
    done = pruned.twin.train(pruned.weights, x, y, RECIPE, seed=3)
    before, _ = pruned.twin.loss_and_gradient(pruned.weights, x, y)
    after, _ = pruned.twin.loss_and_gradient(done.weights, x, y)
    assert done.loss_before == pytest.approx(before, rel=1e-5)
    assert done.loss_after == pytest.approx(after, rel=1e-5)


@pytest.mark.parametrize("received_zero", [True, False])
def test_pruned_weights_stay_exactly_zero(pruned, rng, received_zero):
    x, y = pruned.inputs(rng, 37)
    received = pruned.weights.copy()
    if not received_zero:
        received[~pruned.layout.mask] = 0.5
    kept = received.copy()
    recipe = Recipe(4, 8, 0.1, momentum=0.9, weight_decay=0.01, proximal=0.1, clip_norm=1.0)
    trained = pruned.twin.train(received, x, y, recipe, seed=3).weights
    assert (~pruned.layout.mask).sum() >= 40
    assert not trained[~pruned.layout.mask].any()
    assert (trained != received)[pruned.layout.mask].mean() > 0.5
    np.testing.assert_array_equal(received, kept)


def test_one_step_is_the_gradient_times_the_learning_rate(model, rng):
    x, y = model.inputs(rng, 12)
    _, grad = model.twin.loss_and_gradient(model.weights, x, y)
    done = model.twin.train(model.weights, x, y, Recipe(1, 12, 0.125), seed=1)
    expected = model.weights - 0.125 * np.where(model.layout.mask, grad, 0)
    np.testing.assert_allclose(done.weights, expected, atol=1e-5)


def test_biases_do_not_decay(weak, digits):
    """With a learning rate near nothing for the loss, only the decay is left."""
    x, y = digits[0][:8], digits[1][:8]
    recipe = Recipe(1, 8, 1e-6, weight_decay=1e5)
    done = weak.twin.train(weak.weights, x, y, recipe, seed=1)
    for slot in weak.layout.slots:
        span = slice(slot.start, slot.stop)
        kept = 1.0 if slot.kind == "bias" else 0.9
        np.testing.assert_allclose(done.weights[span], kept * weak.weights[span], atol=1e-4)


def test_same_arguments_give_the_same_bits(model, rng):
    x, y = model.inputs(rng, 53)
    first = model.twin.train(model.weights, x, y, RECIPE, seed=3)
    # Elsewhere in memory, and by another Twin.
    raw = np.zeros(x.size + 5, np.float32)
    moved = raw[5:].reshape(x.shape)
    moved[...] = x
    again = Twin(model.graph, model.layout).train(model.weights.copy(), moved, y, RECIPE, seed=3)
    assert first.weights.tobytes() == again.weights.tobytes()
    assert (first.loss_before, first.loss_after) == (again.loss_before, again.loss_after)
    other = model.twin.train(model.weights, x, y, RECIPE, seed=4)
    assert first.weights.tobytes() != other.weights.tobytes()


def test_the_arguments_are_not_changed(model, rng):
    x, y = model.inputs(rng, 20)
    x[0] += 100  # beyond the input's range
    kept = [a.copy() for a in (model.weights, x, y)]
    done = model.twin.train(model.weights, x, y, RECIPE, seed=3)
    model.twin.predict(model.weights, x)
    for before, after in zip(kept, (model.weights, x, y), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.shares_memory(done.weights, model.weights)
    assert done.weights.dtype == np.float32


def test_the_proximal_term_keeps_weights_near_the_start(weak, digits):
    x, y = digits[0][100:200], digits[1][100:200]
    distances = []
    for proximal in (0.0, 1.0, 10.0):
        recipe = Recipe(5, 10, 0.05, proximal=proximal)
        trained = weak.twin.train(weak.weights, x, y, recipe, seed=1).weights
        distances.append(np.linalg.norm(trained - weak.weights))
    assert distances[0] > 1.5 * distances[1] > 2 * distances[2] > 0


def test_training_that_leaves_the_finite_numbers_says_so(model, rng):
    x, y = model.inputs(rng, 20)
    hot = Recipe(50, 5, 1e38, weight_decay=1.0)
    with pytest.raises(DivergedError, match="not finite, with Recipe"):
        model.twin.train(model.weights, x, y, hot, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, x, y: (w[:-1], x, y), r"weights: float32 \(\d+,\), allowed is float32"),
        (lambda w, x, y: (w.astype(float), x, y), "weights: float64"),
        (lambda w, x, y: (w, x[..., :-1], y), r"x: float32 .*, allowed is float32 \('n', 6\)"),
        (lambda w, x, y: (w, x, y[:-1]), r"y: int64 \(4,\)"),
        (lambda w, x, y: (w, x[:0], y[:0]), r"y: int64 \(0,\)"),
        (lambda w, x, y: (w, x, y.astype(float)), "y: float64"),
        (lambda w, x, y: (w, x, y + 3), r"y: 3 … \d, allowed is 0 … 2"),
        (lambda w, x, y: (w, x, y - 1 - y.max()), "y: -"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(pruned, rng, change, message):
    x, _ = pruned.inputs(rng, 5)
    y = np.array([0, 1, 2, 0, 1])
    with pytest.raises(ValueError, match=message):
        pruned.twin.train(*change(pruned.weights, x, y), RECIPE, seed=1)
