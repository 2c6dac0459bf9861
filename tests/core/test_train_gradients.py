"""Every operator's gradients by its inputs and parameters, beside TensorFlow's."""

import os

import pytest

from benchmarks.gradients import CASES, gradients, random_values, relative_error
from core.train import Path, paths

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BY_NAME = {case.name: case for case in CASES}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", BY_NAME)
def test_gradients_are_within_1e_5_of_tensorflows(name):
    assert relative_error(BY_NAME[name], seed=1) <= 1e-5


@pytest.mark.parametrize("name", BY_NAME)
def test_gradients_are_the_same_bits_on_every_path(name):
    values = random_values(BY_NAME[name], seed=2)
    portable = gradients(BY_NAME[name], values, Path.PORTABLE)
    for path in paths():
        for found, wanted in zip(gradients(BY_NAME[name], values, path), portable, strict=True):
            assert found.tobytes() == wanted.tobytes(), path
