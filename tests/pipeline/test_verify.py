"""What is refused of a finished file, and the quiet of its making."""

import os
from pathlib import Path

import pytest

from pipeline.errors import BuildError
from pipeline.settings import PruneSettings

pytestmark = pytest.mark.tensorflow

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def file():
    return (FIXTURES / "conv.tflite").read_bytes()


@pytest.fixture
def verify():
    from pipeline.verify import verify

    return verify


def test_a_file_that_is_as_asked_passes(verify, file):
    from pipeline.verify import sparsity_in

    found = sparsity_in(file, depthwise=False)
    verify(file, PruneSettings(sparsity=found), trained=0.9, accuracy=0.86)


def test_a_zero_less_than_asked_is_refused(verify, file):
    from pipeline.verify import sparsity_in

    found = sparsity_in(file, depthwise=False)
    with pytest.raises(BuildError, match=r"zeros; prune\.sparsity"):
        verify(file, PruneSettings(sparsity=found + 1e-6), trained=0.9, accuracy=0.9)


def test_accuracy_lost_in_the_conversion_is_refused(verify, file):
    with pytest.raises(BuildError, match=r"is 80\.00%.*90\.00%.*lost more than 5%"):
        verify(file, PruneSettings(sparsity=0), trained=0.9, accuracy=0.8)


def test_a_float_file_is_refused(verify):
    from pipeline.quantize import float32_file
    from pipeline.tf import keras

    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(BuildError, match="a port of the file, is float32"):
        verify(float32_file(model), PruneSettings(sparsity=0), trained=1, accuracy=1)


def test_an_operator_that_a_device_lacks_is_refused(verify):
    from pipeline.quantize import float32_file
    from pipeline.tf import keras

    model = keras.Sequential([keras.layers.Dense(2, "tanh", input_shape=(3,))])
    with pytest.raises(BuildError, match="holds the operators TANH; a device has ADD, AVERAGE"):
        verify(float32_file(model), PruneSettings(sparsity=0), trained=1, accuracy=1)


def test_native_noise_is_swallowed_when_all_goes_well_and_shown_when_it_does_not(capfd):
    from pipeline.tf import quiet

    with quiet():
        os.write(2, b"a remark\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(KeyError), quiet():  # noqa: PT012
        os.write(2, b"the last words\n")
        raise KeyError
    assert capfd.readouterr().err == "the last words\n"
