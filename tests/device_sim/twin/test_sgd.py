"""The update rule, in numbers that can be checked by hand, and the order of the samples."""

import numpy as np
import pytest

from device_sim.twin.random import Random
from device_sim.twin.sgd import Rule, batches, descend
from wire.messages import Recipe


def rule(received, *, pruned=(), decayed=None, epochs=1, batch=1, learning_rate=0.5, **more):
    received = np.array(received, np.float32)
    ones = np.ones_like(received) if decayed is None else np.array(decayed, np.float32)
    recipe = Recipe(epochs, batch, learning_rate, **more)
    return Rule(recipe, received, np.array(pruned, np.intp), ones)


def run(made, samples, *grads):
    """The weights after steps with these gradients, whatever the weights."""
    waiting = [np.array(g, np.float32) for g in grads]
    return descend(lambda weights, batch: waiting.pop(0), made, samples, Random(1)).tolist()


def test_a_step_goes_down_the_gradient():
    assert run(rule([1, 2]), 1, [1, -4]) == [0.5, 4]


def test_momentum_keeps_part_of_the_last_step():
    # v = 1, then 0.5·1 + 2 = 2.5; w = 4 − 0.5·1 − 0.5·2.5
    assert run(rule([4], momentum=0.5), 2, [1], [2]) == [2.25]


def test_weight_decay_pulls_weights_to_zero_and_leaves_biases():
    assert run(rule([4, 4], weight_decay=0.25, decayed=[1, 0]), 1, [0, 0]) == [3.5, 4]


def test_the_proximal_term_pulls_towards_the_start():
    # w = 8 − 0.5·4 = 6; g = 0 + 0.5·(6 − 8) = −1; w = 6.5
    assert run(rule([8], proximal=0.5), 2, [4], [0]) == [6.5]


def test_a_long_gradient_is_cut_to_the_norm_and_a_short_one_is_not():
    assert run(rule([0, 0], clip_norm=2.5), 1, [3, 4]) == [-0.75, -1]
    assert run(rule([0, 0], clip_norm=5.0), 1, [3, 4]) == [-1.5, -2]


def test_clipping_does_not_see_the_gradients_of_pruned_weights():
    assert run(rule([0, 0, 0], clip_norm=5.0, pruned=[1]), 1, [3, 100, 4]) == [-1.5, 0, -2]


def test_decay_and_proximal_term_are_not_clipped():
    # cut: 10 → 1; decay: + 0.5·4; w = 4 − 0.5·3
    assert run(rule([4], clip_norm=1.0, weight_decay=0.5), 1, [10]) == [2.5]


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_pruned_weights_stay_zero_whatever_their_gradient(bad):
    assert run(rule([1, 0], pruned=[1], momentum=0.5), 2, [0, bad], [0, bad]) == [1, 0]


def test_each_epoch_sees_every_sample_once_and_the_last_batch_is_short():
    found = list(batches(7, Recipe(2, 3, 0.1), Random(5)))
    assert [len(batch) for batch in found] == [3, 3, 1, 3, 3, 1]
    first, second = np.concatenate(found[:3]), np.concatenate(found[3:])
    assert sorted(first) == sorted(second) == list(range(7))
    assert first.tolist() != second.tolist()


def test_the_order_is_that_of_the_generator():
    order = Random(9).order(5)
    found = batches(5, Recipe(1, 2, 0.1), Random(9))
    assert np.concatenate(list(found)).tolist() == order.tolist()


def test_received_weights_are_not_changed():
    made = rule([1, 2])
    run(made, 1, [1, 1])
    assert made.received.tolist() == [1, 2]
