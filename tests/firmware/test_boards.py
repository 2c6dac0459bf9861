"""Compiled models on emulated boards: recorded outputs, counted instructions."""

import shutil

import numpy as np
import pytest

from core.int8 import Int8Model
from firmware.compiler.compile import compile_model
from firmware.qemu import MACHINES
from firmware.selftest import self_test
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")),
    reason="qemu-system-arm and arm-none-eabi-gcc run these",
)


@pytest.fixture
def tested(tmp_path):
    def run(name, machine):
        file = (ROOT / "tflite_models" / name / "model.tflite").read_bytes()
        model = Int8Model(file)
        rng = np.random.default_rng(1)
        x = rng.integers(-128, 128, (3, *model.input.shape[1:])).astype(np.int8)
        x[0] = -128
        return self_test(MACHINES[machine], compile_model(file, name), x, model.run(x), tmp_path)

    return run


@pytest.mark.parametrize("machine", MACHINES)
def test_a_model_gives_the_cores_bytes_on_every_machine(machine, tested):
    found = tested("digits", machine)
    assert found.differing == 0
    assert found.stack <= 1024


def test_instructions_repeat_exactly(tested):
    assert tested("har", "qemu-m4").instructions == tested("har", "qemu-m4").instructions


def test_the_self_test_notices_a_wrong_byte(tmp_path):
    file = (ROOT / "tflite_models/digits/model.tflite").read_bytes()
    model = Int8Model(file)
    x = np.zeros((2, *model.input.shape[1:]), np.int8)
    y = model.run(x)
    y[1, 3] ^= 1
    found = self_test(MACHINES["qemu-m4"], compile_model(file, "digits"), x, y, tmp_path)
    assert found.differing == 1
