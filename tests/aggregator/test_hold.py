"""A code moves when its master has gone far, and then to where it should be."""

from pathlib import Path

import numpy as np
import pytest

from aggregator.hold import PER_WEIGHT, REACH, hold, reaches
from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.parameters import Weights, layout_of, requantize, to_float, weights_of

FILE = Path(__file__).parents[1] / "fixtures" / "conv.tflite"
MODELS = Path(__file__).parents[2] / "tflite_models"
GRAPH = read_graph(FILE.read_bytes())
LAYOUT = layout_of(GRAPH)
START = weights_of(GRAPH, LAYOUT)
UNIT = to_float(LAYOUT, Weights(np.ones(LAYOUT.size, np.int32), START.scales)).astype(np.float64)
MASTER = to_float(LAYOUT, START).astype(np.float64)
BIAS = np.concatenate([np.full(s.stop - s.start, s.kind == "bias") for s in LAYOUT.slots])


def small_weight():
    """The index of a weight with room on both sides, in the largest tensor."""
    there = LAYOUT.mask & ~BIAS & (np.abs(START.codes) < 60) & (reaches(LAYOUT) == REACH)
    return int(np.flatnonzero(there)[0])


def moved(index, codes):
    """What becomes of a code whose master moves by so many."""
    master = MASTER.copy()
    master[index] += codes * UNIT[index]
    new = hold(LAYOUT, master, START)
    others = np.arange(LAYOUT.size) != index
    np.testing.assert_array_equal(new.codes[others], START.codes[others])
    return int(new.codes[index] - START.codes[index])


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_weight_stays_within_reach_and_moves_to_its_master_beyond_it(sign):
    index = small_weight()
    assert moved(index, sign * (REACH - 0.1)) == 0
    assert moved(index, sign * (REACH + 0.1)) == sign * round(REACH)
    assert moved(index, sign * (REACH + 5.9)) == sign * round(REACH + 5.9)


def test_a_bias_has_a_longer_reach():
    index = int(np.flatnonzero(BIAS & (reaches(LAYOUT) == REACH * PER_WEIGHT))[0])
    assert moved(index, REACH * PER_WEIGHT - 1) == 0
    assert moved(index, REACH * PER_WEIGHT + 1) == REACH * PER_WEIGHT + 1


def test_small_tensors_are_held_more_closely():
    file = MODELS / "fashion" / "model.tflite"
    layout = layout_of(read_graph(file.read_bytes()))
    found = {
        slot.stop - slot.start: float(reaches(layout)[slot.start])
        for slot in layout.slots
        if slot.kind == "weight"
    }
    mean = (72 + 1152 + 2 * 2304 + 1440) / 5
    assert found[2304] == REACH
    assert found[72] == pytest.approx(REACH * (72 / mean) ** 0.5)
    assert 0.5 <= found[72] < found[1152] < found[1440] < REACH


def test_small_steps_in_one_direction_are_not_lost():
    index, master, version = small_weight(), MASTER.copy(), START
    for _ in range(200):
        master[index] += 0.1 * UNIT[index]
        version = hold(LAYOUT, master, version)
        assert abs(master[index] / UNIT[index] - version.codes[index]) <= REACH
    assert version.codes[index] - START.codes[index] > 20 - REACH - 1


def test_where_a_scale_grows_codes_go_on_standing_for_what_they_did():
    slot = LAYOUT.slots[0]
    index = slot.start + int(np.abs(START.codes[slot.start : slot.stop]).argmax())
    master = MASTER.copy()
    master[index] *= 1.2
    new = hold(LAYOUT, master, START)
    grown = new.scales != START.scales
    assert grown.sum() == 1
    assert new.scales.tolist() == requantize(LAYOUT, master, START.scales).scales.tolist()
    own = grown[LAYOUT.channels]
    np.testing.assert_array_equal(new.codes[~own], START.codes[~own])
    kept = own & ~BIAS & (np.arange(LAYOUT.size) != index)
    unit = to_float(LAYOUT, Weights(np.ones(LAYOUT.size, np.int32), new.scales))
    np.testing.assert_allclose(new.codes[kept] * unit[kept], MASTER[kept], atol=unit[kept].max())


def test_masked_weights_stay_zero_and_a_master_that_is_no_number_is_refused(rng):
    master = MASTER + np.where(LAYOUT.mask, rng.normal(0, 1, LAYOUT.size), 0)
    assert not hold(LAYOUT, master, START).codes[~LAYOUT.mask].any()
    with pytest.raises(ModelError, match="not finite"):
        hold(LAYOUT, np.full(LAYOUT.size, np.nan), START)
