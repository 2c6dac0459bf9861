"""Error feedback: nothing that training found is lost, whatever becomes of updates."""


import numpy as np
import pytest

from device_sim.feedback import Kept, Said, fold_back, left_out, owed
from wire.codec import CODECS

BASE = bytes(32)
BOUNDS = (0, 300, 500)


def delta(rng):
    return (rng.standard_t(3, size=500) * 0.01).astype(np.float32)


def say(owing, codec):
    data = CODECS[codec].encode(owing, BOUNDS)
    return data, CODECS[codec].decode(data, 500, BOUNDS)


@pytest.mark.parametrize("codec", [name for name, codec in CODECS.items() if codec.feedback])
def test_what_was_said_and_what_is_kept_add_up_to_what_training_found(rng, codec):
    kept, found, told = None, np.zeros(500), np.zeros(500)
    for _ in range(20):
        change = delta(rng)
        owing = owed(change, kept, BASE)
        _, said = say(owing, codec)
        kept = Kept(BASE, BOUNDS, left_out(owing, said))
        found += change
        told += said
    assert np.abs(told + kept.values - found).max() < 2e-3  # float16 rounds twenty times
    assert np.linalg.norm(told) > 0.2 * np.linalg.norm(found)


def test_what_was_not_accepted_is_owed_again(rng):
    owing = delta(rng)
    data, said = say(owing, "microfed")
    kept = Kept(BASE, BOUNDS, left_out(owing, said))
    again = fold_back(kept, Said(1, b"n", "microfed", data))
    np.testing.assert_allclose(again.values, owing, atol=5e-5)


def test_what_is_kept_of_another_base_file_is_not_owed(rng):
    kept = Kept(b"x" * 32, BOUNDS, delta(rng).astype(np.float16))
    change = delta(rng)
    np.testing.assert_array_equal(owed(change, kept, BASE), change)


def test_what_float16_cannot_hold_is_held_to_its_range():
    big = left_out(np.float32([1e6, -1e6]), np.float32([0, 0]))
    np.testing.assert_array_equal(big, np.float16([65504, -65504]))
