"""Random rotations of three-axis data: rigid, small, and the same for all of a sample."""

import numpy as np
import pytest

from device_sim.twin.augment import rotated
from device_sim.twin.random import Random

SEED = 3


def numbers():
    return np.random.Generator(np.random.PCG64(SEED))


def test_lengths_and_angles_between_vectors_stay():
    x = numbers().normal(size=(5, 7, 1, 6)).astype(np.float32)
    before, after = x.reshape(5, 14, 3), rotated(x, 40.0, Random(SEED)).reshape(5, 14, 3)
    np.testing.assert_allclose(
        after @ after.transpose(0, 2, 1), before @ before.transpose(0, 2, 1), atol=1e-5
    )


def test_left_and_right_hands_stay_apart():
    axes = np.eye(3, dtype=np.float32)[None]
    assert np.linalg.det(rotated(axes, 90.0, Random(SEED))[0]) == pytest.approx(1.0, abs=1e-5)


def test_no_vector_turns_further_than_three_axes_together_allow():
    x = np.tile(np.eye(3, dtype=np.float32), (200, 1, 1))
    cosines = (rotated(x, 10.0, Random(SEED)) * x).sum(-1)
    assert np.rad2deg(np.arccos(cosines.min())) <= 10.0 * np.sqrt(3.0)
    assert np.rad2deg(np.arccos(cosines.min())) > 5.0


def test_samples_turn_differently():
    x = np.ones((2, 1, 3), np.float32)
    first, second = rotated(x, 20.0, Random(SEED))
    assert not np.allclose(first, second)


def test_channels_that_are_no_vectors_are_refused():
    with pytest.raises(ValueError, match="in threes, the data has 4"):
        rotated(np.ones((2, 8, 4), np.float32), 10.0, Random(SEED))
