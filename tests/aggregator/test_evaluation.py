"""A version's accuracy: on the core where it can, on LiteRT where it must."""

from pathlib import Path

import numpy as np
import pytest

from aggregator import evaluation
from aggregator.evaluation import accuracy
from core.int8 import Int8Model
from core.library import NoCoreError
from tflite_models.errors import ModelError, UnsupportedModel
from tflite_models.interpreter import Interpreter, quantize

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def task(rng):
    """The conv fixture, 200 inputs, and the classes that the core gives them, 50 of them wrong."""
    file = (FIXTURES / "conv.tflite").read_bytes()
    x = rng.uniform(0, 1, (200, 8, 8, 1)).astype(np.float32)
    model = Int8Model(file)
    y = model.run(quantize(x, model.input.quantization)).argmax(axis=1)
    y[:50] = (y[:50] + 1) % 5
    return file, x, y


def test_the_accuracy_is_the_share_of_the_cores_classes(task):
    assert accuracy(*task) == 0.75


def without(error):
    def refuse(file):
        raise error

    return refuse


@pytest.mark.parametrize(
    "error",
    [NoCoreError(Path("gone.so"), OSError("no such file")), UnsupportedModel("SVDF", 0, (), "no")],
)
def test_what_the_core_cannot_do_litert_does(task, monkeypatch, error):
    monkeypatch.setattr(evaluation, "Int8Model", without(error))
    file, x, y = task
    assert accuracy(file, x, y) == Interpreter(file).accuracy(x, y) > 0.7


def test_bytes_that_are_no_model_say_so():
    with pytest.raises(ModelError, match="not a \\.tflite file"):
        accuracy(b"nothing", np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
