"""The models that are released with their cards."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tflite_models.boards import board_named, fits
from tflite_models.inspect import summarize
from tflite_models.interpreter import Interpreter

HOME = Path(__file__).parents[2] / "tflite_models"
NAMES = ["digits", "fashion", "har", "speech"]


@pytest.mark.parametrize("name", NAMES)
def test_a_released_model_is_the_one_that_its_card_describes(name):
    file = (HOME / name / "model.tflite").read_bytes()
    card = json.loads((HOME / name / "card.json").read_text())
    summary = summarize(file)
    assert card["file"]["sha256"] == hashlib.sha256(file).hexdigest()
    assert card["budgets"]["flash_bytes"] == len(file) == summary.flash_bytes
    assert card["budgets"]["macs"] == summary.macs
    assert summary.sparsity >= 0.45  # half of the pruned kernels
    assert fits(summary, board_named("nano33ble")).fits
    assert (HOME / name / "card.md").read_text().startswith("# ")


@pytest.mark.parametrize("name", NAMES)
def test_a_released_model_runs_in_a_stock_interpreter(name, rng):
    interpreter = Interpreter((HOME / name / "model.tflite").read_bytes())
    shape = summarize((HOME / name / "model.tflite").read_bytes()).tensors
    x = rng.uniform(0, 1, (4, *next(t.shape for t in shape if t.role == "activation")[1:]))
    classes = interpreter.predict(x.astype(np.float32))
    assert classes.shape == (4,)
