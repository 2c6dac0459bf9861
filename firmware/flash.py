"""Real boards: which tool builds for and writes to each, and the exact commands."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from firmware.exports import EXPORTS
from firmware.qemu import FirmwareError


@dataclass(frozen=True)
class Tool:
    """A program that builds a folder of ours and puts it on a board.

    commands: in order, with {folder}, {port} and the board's {target} to be filled in.
    """

    program: str
    export: str
    commands: tuple[tuple[str, ...], ...]
    install: str


_ARDUINO = Tool(
    "arduino-cli",
    "arduino",
    (
        ("arduino-cli", "compile", "--fqbn", "{target}", "--library", "{folder}", "{example}"),
        ("arduino-cli", "upload", "--fqbn", "{target}", "--port", "{port}", "{example}"),
    ),
    "https://arduino.github.io/arduino-cli/latest/installation/",
)
_WEST = Tool(
    "west",
    "zephyr",
    (
        ("west", "build", "-b", "{target}", "-d", "{folder}/build", "{example}"),
        ("west", "flash", "-d", "{folder}/build", "--runner", "pyocd"),
    ),
    "pip install west pyocd, then https://docs.zephyrproject.org/latest/develop/getting_started/",
)
_PICO = Tool(
    "picotool",
    "zephyr",
    (
        ("west", "build", "-b", "{target}", "-d", "{folder}/build", "{example}"),
        ("picotool", "load", "-x", "{folder}/build/zephyr/zephyr.uf2"),
    ),
    "https://github.com/raspberrypi/picotool, and west: pip install west",
)
_ESP = Tool(
    "idf.py",
    "esp-idf",
    (
        ("idf.py", "-C", "{example}", "set-target", "{target}"),
        ("idf.py", "-C", "{example}", "build"),
        ("idf.py", "-C", "{example}", "-p", "{port}", "flash"),
    ),
    "https://docs.espressif.com/projects/esp-idf/, which brings esptool",
)

# a board of tflite_models/boards.py: its tool, and what that calls the board
REAL_BOARDS: dict[str, tuple[Tool, str]] = {
    "nano33ble": (_ARDUINO, "arduino:mbed_nano:nano33ble"),
    "uno-r4": (_ARDUINO, "arduino:renesas_uno:minima"),
    "stm32f405": (_WEST, "adafruit_feather_stm32f405"),
    "nucleo-f446re": (_WEST, "nucleo_f446re"),
    "nucleo-l4r5zi": (_WEST, "nucleo_l4r5zi"),
    "esp32": (_ESP, "esp32"),
    "esp32s3": (_ESP, "esp32s3"),
    "pico": (_PICO, "rpi_pico"),
    "pico2": (_PICO, "rpi_pico2/rp2350a/m33"),
}
_EXAMPLES = {
    "arduino": "{folder}/examples/{name}_minimal",
    "zephyr": "{folder}/samples/minimal",
    "esp-idf": "{folder}/examples/minimal",
}


class MissingToolError(FirmwareError):
    """The program that builds for or writes to a board is not installed."""


def commands(board: str, name: str, folder: str, port: str) -> list[list[str]]:
    """What to run, in order, for a model called `name` that was exported to `folder`."""
    tool, target = REAL_BOARDS[board]
    known = {"folder": folder, "port": port, "target": target}
    known["example"] = _EXAMPLES[tool.export].format(folder=folder, name=name)
    return [[part.format(**known) for part in command] for command in tool.commands]


def require(board: str) -> None:
    """Raise MissingToolError, which says what to install, unless all programs are there."""
    tool, _ = REAL_BOARDS[board]
    assert tool.export in EXPORTS
    for program in dict.fromkeys([tool.program, *(command[0] for command in tool.commands)]):
        if shutil.which(program) is None:
            raise MissingToolError(f"{board} needs {program}, not installed: {tool.install}")
