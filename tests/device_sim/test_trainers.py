"""A device trains on the core where it is compiled, and in NumPy where it is not."""

import os
import subprocess
import sys
from pathlib import Path

from device_sim.native import Native
from device_sim.trainers import fastest_trainer
from tests.device_sim.twin.conftest import FIXTURES, read_model

ROOT = Path(__file__).parents[2]


def test_the_core_trains_where_it_is():
    model = read_model(FIXTURES / "dense.tflite")
    assert isinstance(fastest_trainer(model.graph, model.layout), Native)


def test_without_the_core_the_twin_trains_and_it_is_said_once(tmp_path):
    """In a process of its own: a library is loaded once."""
    code = """
from device_sim.trainers import fastest_trainer
from tests.device_sim.twin.conftest import FIXTURES, read_model
model = read_model(FIXTURES / "dense.tflite")
for _ in range(2):
    print(type(fastest_trainer(model.graph, model.layout)).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MICROFED_CORE": str(tmp_path / "none.so")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["Twin", "Twin"]
    assert done.stderr.count("devices train in NumPy") == 1
    assert "make -C firmware/core" in done.stderr
