"""What a model is compiled for: which kernels and layout of weights, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.compiler.compile import Compiled
from firmware.compiler.pack import Layout
from firmware.qemu import MACHINES, MATH
from tflite_models.boards import BOARDS

# Measured with gcc 12.2 -O2 over the MLPerf Tiny and the released models on Cortex-M3, M4F and
# M55 (`microfed flash MODEL --board qemu-…`): flash without the model's constants, and stack.
CODE, CODE_OF_LAYER = 8 * 1024, 120
STACK = 1024

_ARM = "arm-none-eabi-gcc"


@dataclass(frozen=True)
class _Core:
    """A processor: its compiler, the flags that name it, and the kernels that these choose."""

    compiler: str
    flags: tuple[str, ...]
    kernels: str
    layout: Layout


_PLAIN, _DSP, _HELIUM = "plain C", "DSP extension", "Helium"
# as tflite_models/boards.py calls them, without how many there are
_CORES = {
    "Cortex-M0+": _Core(_ARM, ("-mthumb", "-mcpu=cortex-m0plus"), _PLAIN, "rows"),
    "Cortex-M4F": _Core(
        _ARM,
        ("-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
        _DSP,
        "pairs",
    ),
    "Cortex-M33": _Core(
        _ARM,
        ("-mthumb", "-mcpu=cortex-m33", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
        _DSP,
        "pairs",
    ),
    "Xtensa LX6": _Core("xtensa-esp32-elf-gcc", (), _PLAIN, "rows"),
    "Xtensa LX7": _Core("xtensa-esp32s3-elf-gcc", (), _PLAIN, "rows"),
}
_MACHINES: dict[str, tuple[str, Layout]] = {  # others have the DSP extension
    "qemu-m3": (_PLAIN, "rows"),
    "qemu-m55": (_HELIUM, "rows"),
}


class DoesNotFitError(Exception):
    """A compiled model needs more than its board has; the message has the numbers."""


@dataclass(frozen=True)
class Target:
    """A board, real or emulated: `flash` and `ram` are what it has, in bytes."""

    name: str
    title: str
    flash: int
    ram: int
    core: _Core


def _targets() -> dict[str, Target]:
    found = {}
    for machine in MACHINES.values():
        kernels, layout = _MACHINES.get(machine.name, (_DSP, "pairs"))
        core = _Core(_ARM, ("-mthumb", *machine.cpu), kernels, layout)
        found[machine.name] = Target(machine.name, machine.title, machine.flash, machine.ram, core)
    for board in BOARDS.values():
        core = _CORES[board.core.partition(",")[0]]
        found[board.name] = Target(board.name, board.title, board.flash, board.ram, core)
    return found


TARGETS = _targets()


@dataclass(frozen=True)
class Needs:
    """Bytes that a compiled model takes on a target, all of it counted."""

    bytes_flash_needed: int
    bytes_ram_needed: int


def needs(compiled: Compiled, target: Target) -> Needs:
    """What the model needs; raises DoesNotFitError if the target has less."""
    constants = sum(compiled.layout_bytes[target.core.layout].values())
    code = CODE + CODE_OF_LAYER * len(compiled.network.layers)
    found = Needs(constants + code, compiled.ram_bytes + STACK)
    parts = (
        (
            "flash",
            found.bytes_flash_needed,
            target.flash,
            f"constants {constants:,} + code {CODE:,}",
        ),
        (
            "RAM",
            found.bytes_ram_needed,
            target.ram,
            f"tensors {compiled.ram_bytes:,} + stack {STACK:,}",
        ),
    )
    short = [
        f"{what} of {there:,} bytes, {needed:,} are needed ({of})"
        for what, needed, there, of in parts
        if needed > there
    ]
    if short:
        raise DoesNotFitError(f"{compiled.name} does not fit {target.title}: {'; '.join(short)}")
    return found


def makefile(compiled: Compiled, target: Target) -> str:
    """A Makefile for the plain export, which makes libNAME.a with the target's flags."""
    core, name = target.core, compiled.name
    tools = core.compiler.removesuffix("gcc")
    flags = " ".join(("-std=c99", "-O2", *core.flags, *MATH, "-ffunction-sections"))
    return f"""# {name} for {target.title}: {core.kernels}.
CC := {core.compiler}
AR := {tools}ar
CFLAGS := {flags} -fdata-sections

OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c int8/*.c layers/*.c))

lib{name}.a: $(OBJECTS)
\t$(AR) rcs $@ $^

%.o: %.c
\t$(CC) $(CFLAGS) -I. -c $< -o $@

clean:
\trm -f $(OBJECTS) lib{name}.a
"""
