"""`microfed compile` and `microfed flash` as a person meets them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.exits import Exit
from cli.main import microfed
from tests.conftest import ROOT
from tests.core.oracle_models import Step, activation, make_file

MODEL = ROOT / "tflite_models/digits/model.tflite"
PUBLIC = Path(os.environ.get("MICROFED_MODELS", ROOT.parent / "shared" / "models"))


def run(*arguments):
    return CliRunner().invoke(microfed, [str(a) for a in arguments])


def test_compile_writes_a_folder_that_any_c_compiler_takes(tmp_path):
    result = run("compile", MODEL, "--out", tmp_path, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["bytes_ram"] >= said["bytes_ram_bound"]
    listed = [str(path) for path in tmp_path.rglob("*.c")]
    command = ["cc", "-std=c99", "-Wall", "-Werror", f"-I{tmp_path}", "-shared", "-fPIC"]
    subprocess.run([*command, *listed, "-o", "/dev/null"], check=True)


def test_compile_refuses_what_is_no_model_with_the_documented_code(tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(MODEL.read_bytes()[:500])
    result = run("compile", bad, "--out", tmp_path / "out")
    assert result.exit_code == Exit.MODEL
    assert "bad.tflite" in result.output
    assert not (tmp_path / "out").exists()


def test_flash_prints_the_commands_of_a_real_board_and_runs_none(tmp_path):
    result = run("flash", MODEL, "--board", "esp32", "--dry-run", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "idf.py -C" in result.output
    assert not (tmp_path / "out").exists()


def test_flash_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = run("flash", MODEL, "--board", "pico", "--out", tmp_path)
    assert result.exit_code == Exit.MISSING
    assert "picotool" in result.output


@pytest.mark.skipif(
    not (shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")),
    reason="qemu-system-arm and arm-none-eabi-gcc run this",
)
def test_flash_tests_itself_in_qemu():
    result = run("flash", MODEL, "--board", "qemu-m4", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["differing"] == 0
    assert 0 < said["bytes_stack"] <= 1024
    assert said["bytes_flash"] > said["bytes_weights"]


def test_compile_rounds_twice_unless_told_otherwise(tmp_path):
    for rounding in ("double", "single"):
        folder = tmp_path / rounding
        assert run("compile", MODEL, "--out", folder, "--rounding", rounding).exit_code == 0
    run("compile", MODEL, "--out", tmp_path / "default")
    texts = {f: (tmp_path / f / "weights.c").read_text() for f in ("double", "single", "default")}
    assert texts["default"] == texts["double"] != texts["single"]


def test_compile_refuses_to_round_an_updatable_model_once(tmp_path):
    result = run("compile", MODEL, "--out", tmp_path, "--rounding", "single", "--updatable", 1)
    assert result.exit_code == Exit.USAGE
    assert "--rounding single" in result.output


def test_compile_for_a_board_says_what_the_model_takes_of_it(tmp_path):
    result = run("compile", MODEL, "--out", tmp_path, "--board", "nano33ble", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["board"] == "nano33ble"
    assert said["bytes_flash_needed"] > said["bytes_weights"] + said["bytes_constants"]
    assert said["bytes_ram_needed"] > said["bytes_ram"]
    assert "-mcpu=cortex-m4" in (tmp_path / "Makefile").read_text()


def test_compile_refuses_a_board_that_is_too_small(tmp_path):
    large = PUBLIC / "vww_96_int8.tflite"
    if not large.exists():
        pytest.skip(f"{large} is not here")
    result = run("compile", large, "--out", tmp_path / "out", "--board", "uno-r4")
    assert result.exit_code == Exit.BUDGET
    assert "RAM of 32,768 bytes" in result.output
    assert not (tmp_path / "out").exists()


def test_compile_names_operator_index_and_tensors_of_what_it_cannot_do(tmp_path):
    bad = tmp_path / "cos.tflite"
    bad.write_bytes(make_file([activation((1, 4)), activation((1, 4))], [Step("COS", [0], 1)]))
    result = run("compile", bad, "--out", tmp_path / "out")
    assert result.exit_code == Exit.MODEL
    assert "operator 0 COS ('tensor 0', 'tensor 1'): allowed are ADD" in result.output
