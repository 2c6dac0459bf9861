"""Scopes: which parameters of a file train, by name and as bits."""

import numpy as np
import pytest

from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.layout import Layout, Slot, layout_of
from tflite_models.scope import ALL, MOST_SLOTS, bits_of, named_scopes, scope_of, trained_slots


@pytest.fixture
def layout(fixture_file):
    """Three layers with biases: slots 0 to 5 are weight, bias, weight, bias, weight, bias."""
    found = layout_of(read_graph(fixture_file("conv")))
    assert [slot.kind for slot in found.slots] == ["weight", "bias"] * 3
    return found


def test_the_names_of_a_file_with_three_layers(layout):
    assert named_scopes(layout) == {
        "all": b"",
        "last-2": bytes([0b111100]),
        "head": bytes([0b110000]),
        "biases": bytes([0b101010]),
    }


def test_a_scope_is_the_unpruned_part_of_the_slots_that_train(fixture_file):
    layout = layout_of(read_graph(fixture_file("dense")))
    assert not layout.mask.all()
    for bits in named_scopes(layout).values():
        scope, trained = scope_of(layout, bits), trained_slots(layout, bits)
        for number, slot in enumerate(layout.slots):
            own = slice(slot.start, slot.stop)
            expected = layout.mask[own] if number in trained else np.zeros(len(layout.mask[own]))
            np.testing.assert_array_equal(scope.mask[own], expected)
            start, stop = scope.bounds[number : number + 2]
            assert stop - start == scope.mask[own].sum()
        assert scope.bounds[0] == 0
        assert scope.bounds[-1] == scope.size == scope.mask.sum()


def test_no_bits_are_all_parameters(layout):
    whole = scope_of(layout, ALL)
    np.testing.assert_array_equal(whole.mask, layout.mask)
    assert whole.bounds == scope_of(layout, bytes([0b111111])).bounds


def test_different_slots_never_have_the_bounds_of_others(layout):
    """So what a device keeps by its bounds belongs to one choice."""
    found = [scope_of(layout, bytes([bits])).bounds for bits in range(1, 64)]
    assert len(set(found)) == 63


@pytest.mark.parametrize("bits", [b"\x01\x00", b"\x40", b"\xff"], ids=bytes.hex)
def test_bits_of_another_number_of_tensors_are_refused(layout, bits):
    with pytest.raises(ValueError, match=f"trains {bits.hex()}: not one bit for each of 6 tensors"):
        scope_of(layout, bits)


def test_bits_that_train_nothing_are_refused(layout):
    with pytest.raises(ValueError, match="trains 00: no parameter of the model would train"):
        scope_of(layout, b"\x00")


def test_a_name_that_the_model_does_not_have_says_what_is_allowed(layout):
    with pytest.raises(ModelError) as refused:
        bits_of(layout, "last-3")
    assert str(refused.value) == (
        "train: 'last-3' is no part of this model: allowed are all, last-2, head, biases"
    )


def test_a_layout_of_more_tensors_than_there_are_bits_trains_whole():
    slots = [Slot(i, i, i + 1, (1,), 0, i, i + 1, "weight", 1.0, -1) for i in range(MOST_SLOTS + 1)]
    layout = Layout(tuple(slots), len(slots), len(slots), np.ones(len(slots), bool))
    assert list(named_scopes(layout)) == ["all"]
    assert scope_of(layout, ALL).bounds == tuple(range(MOST_SLOTS + 2))
