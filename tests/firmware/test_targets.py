"""Models compiled for one board: its layout, its flags, and the numbers where it is too small."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from cli import compile as compile_command
from core.int8 import Int8Model
from firmware.compiler.compile import compile_model
from firmware.exports import sources
from firmware.qemu import MACHINES
from firmware.selftest import self_test
from firmware.targets import TARGETS, DoesNotFitError, makefile, needs
from tests.conftest import ROOT

FILE = (ROOT / "tflite_models/digits/model.tflite").read_bytes()
needs_arm = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc compiles these"
)


def test_the_command_knows_every_target():
    assert set(compile_command.BOARDS) == set(TARGETS)


@pytest.mark.parametrize("board", ["nano33ble", "pico", "pico2", "qemu-m7", "qemu-m55"])
@needs_arm
def test_the_makefile_of_a_board_makes_a_library_with_its_kernels(board, tmp_path):
    target = TARGETS[board]
    compiled = compile_model(FILE, "digits", layout=target.core.layout)
    for path, text in (sources(compiled) | {"Makefile": makefile(compiled, target)}).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    subprocess.run(["make", "-s", "-C", tmp_path], check=True, capture_output=True)
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-d", tmp_path / "libdigits.a"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert ("\tsmlad" in listing) == (target.core.kernels == "DSP extension")
    assert ("\tvadd.i32" in listing) == (target.core.kernels == "Helium")


@pytest.mark.parametrize("layout", ["rows", "pairs"])
@needs_arm
def test_weights_of_one_layout_are_refused_by_a_processor_with_another(layout, tmp_path):
    compiled = compile_model(FILE, "digits", layout=layout)
    assert "MF_LAYERS_DSP" not in compiled.files["weights.c"]
    for path, text in sources(compiled).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    for cpu, reads in (("cortex-m3", "rows"), ("cortex-m4", "pairs")):
        command = ["arm-none-eabi-gcc", f"-mcpu={cpu}", "-mthumb", f"-I{tmp_path}", "-fsyntax-only"]
        done = subprocess.run(
            [*command, tmp_path / "weights.c"], capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == (reads == layout)
        assert reads == layout or "these weights are for another processor" in done.stderr


@pytest.mark.parametrize("board", ["qemu-m3", "qemu-m4", "qemu-m55"])
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="QEMU runs this")
@needs_arm
def test_a_model_takes_no_more_than_is_said(board, tmp_path):
    compiled = compile_model(FILE, "digits", layout=TARGETS[board].core.layout)
    model = Int8Model(FILE)
    x = np.zeros((1, *model.input.shape[1:]), np.int8)
    tested = self_test(MACHINES[board], compiled, x, model.run(x), tmp_path)
    said = needs(compiled, TARGETS[board])
    assert tested.differing == 0
    assert said.bytes_flash_needed - 8192 < tested.flash <= said.bytes_flash_needed
    assert tested.ram + tested.stack <= said.bytes_ram_needed


def test_a_board_that_is_too_small_is_refused_with_the_numbers():
    compiled = compile_model(FILE, "digits")
    small = replace(TARGETS["uno-r4"], flash=20_000, ram=1000)
    said = needs(compiled, TARGETS["uno-r4"])
    with pytest.raises(DoesNotFitError) as caught:
        needs(compiled, small)
    text = str(caught.value)
    assert f"flash of 20,000 bytes, {said.bytes_flash_needed:,} are needed" in text
    assert f"RAM of 1,000 bytes, {said.bytes_ram_needed:,} are needed" in text
