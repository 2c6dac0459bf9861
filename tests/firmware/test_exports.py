"""Exports: folders that compile where their tool is here, and say what they should."""

import subprocess

import pytest

from firmware.compiler.compile import compile_model
from firmware.exports import EXPORTS, model_data, sources
from firmware.flash import REAL_BOARDS, MissingToolError, commands, require
from tests.conftest import ROOT
from tflite_models.boards import BOARDS
from tflite_models.graph import read_graph

FILE = ROOT / "tflite_models/digits/model.tflite"


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def compile_folder(folder, include, *more):
    listed = sorted(folder.rglob("*.c"))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    command = ["cc", *flags, f"-I{include}", *map(str, listed), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["platformio", "cmake"])
def test_an_export_with_its_example_is_a_whole_program(kind, tmp_path):
    write(tmp_path, EXPORTS[kind](compile_model(FILE.read_bytes(), "digits")))
    compile_folder(tmp_path, tmp_path / "src", "-o", str(tmp_path / "program"))
    assert subprocess.run([tmp_path / "program"], check=False).returncode in (0, 1)


@pytest.mark.parametrize("kind", ["arduino", "zephyr", "esp-idf"])
def test_the_sources_of_every_export_compile(kind, tmp_path):
    write(tmp_path, EXPORTS[kind](compile_model(FILE.read_bytes(), "digits")))
    compile_folder(tmp_path / "src", tmp_path / "src", "-shared", "-fPIC", "-o", "/dev/null")


def test_every_c_file_is_named_in_the_lists_of_build_tools():
    compiled = compile_model(FILE.read_bytes(), "digits")
    for kind in ("zephyr", "esp-idf", "cmake"):
        listing = EXPORTS[kind](compiled)["CMakeLists.txt"]
        for path in sources(compiled):
            assert path.endswith(".h") or f"src/{path}" in listing


def test_the_array_is_the_file_and_the_resolver_has_its_operators():
    data = FILE.read_bytes()
    files = model_data(data, read_graph(data), "digits")
    text = files["model_data.cc"].split("{")[1].split("}")[0]
    assert bytes(int(x, 16) for x in text.split(",") if x.strip()) == data
    assert "resolver.AddConv2D();" in files["op_resolver.h"]
    assert "MicroMutableOpResolver<4>" in files["op_resolver.h"]


@pytest.mark.parametrize("board", REAL_BOARDS)
def test_the_commands_for_a_board_are_complete(board):
    assert board in BOARDS
    for command in commands(board, "digits", "out", "/dev/ttyUSB0"):
        assert not any("{" in part for part in command)


def test_a_missing_tool_is_named_with_where_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingToolError, match="arduino-cli, not installed: https://"):
        require("nano33ble")


def test_two_models_go_into_one_program(tmp_path):
    objects = []
    for name in ("one", "two"):
        folder = tmp_path / name
        write(folder, sources(compile_model(FILE.read_bytes(), name)))
        for part in ("model", "weights"):
            objects.append(tmp_path / f"{name}-{part}.o")
            command = ["cc", "-std=c99", "-fPIC", f"-I{folder}", "-c", folder / f"{part}.c"]
            subprocess.run([*command, "-o", objects[-1]], check=True)
    linked = ["cc", "-shared", *objects, "-o", tmp_path / "both.so"]
    done = subprocess.run(linked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
