"""What a round of a part of the model makes of the rest: nothing."""

from pathlib import Path

import numpy as np
import pytest

from aggregator.rules import rule_of
from aggregator.settings import FederatedSettings
from aggregator.versions import Versions
from tflite_models.graph import read_graph
from tflite_models.parameters import MAX_BIAS, Weights, layout_of, patch, weights_of

FILE = (Path(__file__).parents[1] / "fixtures" / "conv.tflite").read_bytes()
RULE = rule_of(FederatedSettings())


def versions(file, train):
    return Versions(file, lambda version: pytest.fail("nothing is loaded"), train)


@pytest.fixture
def large():
    """The file with a code in its first bias that no float32 holds."""
    graph = read_graph(FILE)
    layout = layout_of(graph)
    weights = weights_of(graph, layout)
    codes = weights.codes.copy()
    codes[layout.slots[1].start] = 2**24 + 1
    return patch(FILE, layout, Weights(codes, weights.scales))


def test_a_frozen_code_stays_even_where_its_float_does_not_say_it(large):
    made = versions(large, "head")
    first = made.first(RULE)
    after = made.advance(first, np.full(made.size, 0.25), RULE)
    changed = np.flatnonzero(after.weights.codes != first.weights.codes)
    assert changed.size
    assert changed.min() >= made.layout.slots[-2].start
    assert after.weights.codes[made.layout.slots[1].start] == 2**24 + 1


def test_an_update_has_as_many_values_as_train():
    whole, head = versions(FILE, "all"), versions(FILE, "head")
    weight, bias = head.layout.slots[-2:]
    own = head.layout.mask[weight.start : bias.stop]
    assert head.size == own.sum() < whole.size
    assert whole.trains == b""
    mean = np.arange(1.0, head.size + 1)
    first = head.first(RULE)
    moved = head.advance(first, mean, RULE).master - first.master
    np.testing.assert_allclose(moved[weight.start : bias.stop][own], mean)
    assert not moved[: weight.start].any()


def test_a_bias_that_outgrows_its_codes_takes_the_frozen_weights_of_its_channel_along():
    """The one exception: both share a scale.  The real values stay within half a new step."""
    made = versions(FILE, "biases")
    first, bias = made.first(RULE), made.layout.slots[1]
    weight = made.layout.slots[0]
    mean = np.zeros(made.size)
    mean[0] = 1.5 * MAX_BIAS * bias.input_scale * first.weights.scales[0]
    after = made.advance(first, mean, RULE)
    grown = after.weights.scales != first.weights.scales
    assert np.flatnonzero(grown).tolist() == [0]
    per = (weight.stop - weight.start) // (weight.scale_stop - weight.scale_start)
    own = slice(weight.start, weight.start + per)
    real = after.weights.codes[own] * after.weights.scales[0]
    np.testing.assert_allclose(real, first.master[own], atol=0.51 * after.weights.scales[0])
    others = slice(weight.start + per, weight.stop)
    np.testing.assert_array_equal(after.weights.codes[others], first.weights.codes[others])
