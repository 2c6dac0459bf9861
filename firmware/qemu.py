"""Building bare-metal programs for the boards that QEMU has, and running them there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BOARDS_FOLDER = HERE / "boards"
CORE = HERE / "core"

# as in firmware/core/Makefile: what makes every machine compute the same bits
MATH = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wstrict-prototypes")


class FirmwareError(Exception):
    """A program could not be built, or did not end as it should; the message has its output."""


class NoToolError(FirmwareError):
    """A program that this needs is not installed."""


@dataclass(frozen=True)
class Machine:
    """A board that QEMU emulates, and what it takes to build for it."""

    name: str
    title: str
    qemu: str  # QEMU's name of the machine
    cpu: tuple[str, ...]  # the compiler's flags
    script: str  # the linker's, in firmware/boards
    uart: str  # which uart_*.c
    uart_at: int
    mhz: int  # of SysTick
    flash: int
    ram: int


_M4 = ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
_MB = 1 << 20
_KB = 1 << 10
_MACHINES = (
    Machine(
        "qemu-m3", "Arm MPS2, AN385 (Cortex-M3)", "mps2-an385",
        ("-mcpu=cortex-m3",), "mps2.ld", "cmsdk", 0x40004000, 25, 4 * _MB, 4 * _MB,
    ),
    Machine(
        "qemu-m4", "Arm MPS2, AN386 (Cortex-M4F)", "mps2-an386",
        _M4, "mps2.ld", "cmsdk", 0x40004000, 25, 4 * _MB, 4 * _MB,
    ),
    Machine(
        "qemu-m7", "Arm MPS2, AN500 (Cortex-M7)", "mps2-an500",
        ("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"),
        "mps2.ld", "cmsdk", 0x40004000, 25, 4 * _MB, 4 * _MB,
    ),
    Machine(
        "qemu-m55", "Arm MPS3, AN547 (Cortex-M55 with Helium)", "mps3-an547",
        ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
        "mps3.ld", "cmsdk", 0x49303000, 32, 512 * _KB, 512 * _KB,
    ),
    Machine(
        "qemu-stm32f405", "Netduino Plus 2 (STM32F405, Cortex-M4F)", "netduinoplus2",
        _M4, "stm32f405.ld", "stm32", 0x40011000, 168, _MB, 128 * _KB,
    ),
)  # fmt: skip
MACHINES = {machine.name: machine for machine in _MACHINES}


@dataclass(frozen=True)
class Image:
    """A linked program and what the linker's map says of it, in bytes."""

    elf: Path
    sections: dict[tuple[str, str], int]  # (section of the image, object file): size

    @property
    def flash(self) -> int:
        """Code, constants and the initial values of data."""
        return sum(n for (name, _), n in self.sections.items() if name in (".text", ".data"))

    @property
    def ram(self) -> int:
        """Data and zeroed memory, without the stack."""
        return sum(n for (name, _), n in self.sections.items() if name in (".data", ".bss"))


@dataclass(frozen=True)
class Ended:
    """What a program wrote to its UART, and the code that it ended with."""

    text: str
    code: int


def build(
    machine: Machine,
    sources: Sequence[Path],
    out: Path,
    *,
    flags: Sequence[str] = ("-O2",),
    link: Sequence[str] = (),
    stack: int = 4096,
) -> Image:
    """Compile C99 sources and the board's start-up, and link them to out/program.elf.

    The core's headers are found; warnings are errors.  Raises FirmwareError with what the
    compiler said, NoToolError without a compiler.
    """
    out.mkdir(parents=True, exist_ok=True)
    elf, map_file = out / "program.elf", out / "program.map"
    board = (BOARDS_FOLDER / "startup.c", BOARDS_FOLDER / f"uart_{machine.uart}.c")
    common = (
        *("-std=c99", "-mthumb", *machine.cpu, *flags, *MATH, *WARNINGS, "-Werror"),
        *("-ffunction-sections", "-fdata-sections"),
        *(f"-I{CORE / 'include'}", f"-I{CORE / 'src'}", f"-I{BOARDS_FOLDER}"),
    )
    constants = (f"-DBOARD_UART=0x{machine.uart_at:X}u", f"-DBOARD_MHZ={machine.mhz}u")
    objects = []
    for i, source in enumerate((*board, *sources)):
        objects.append(out / f"{i}-{source.stem}.o")
        _tool("arm-none-eabi-gcc", *common, *constants, "-c", source, "-o", objects[-1])
    _tool(
        *("arm-none-eabi-gcc", "-mthumb", *machine.cpu, "-nostartfiles", "--specs=nano.specs"),
        *("-Wl,--gc-sections", f"-Wl,-Map={map_file}", f"-Wl,--defsym=STACK={stack}"),
        *(f"-L{BOARDS_FOLDER}", f"-T{BOARDS_FOLDER / machine.script}"),
        *objects,
        *link,
        "-o",
        elf,
    )
    return Image(elf, read_map(map_file.read_text()))


def run(machine: Machine, image: Image, *, seconds: float = 120) -> Ended:
    """Run a program in QEMU, one instruction every 64 ns of its clock, until it ends.

    Raises FirmwareError when it does not end in time, NoToolError without QEMU.
    """
    command = [
        *("qemu-system-arm", "-M", machine.qemu, "-nographic", "-monitor", "none"),
        *("-serial", "stdio", "-semihosting-config", "enable=on,target=native"),
        *("-icount", "shift=6,sleep=off", "-kernel", str(image.elf)),
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise NoToolError("qemu-system-arm is not installed") from error
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        raise FirmwareError(
            f"{image.elf}: not done after {seconds:g} s; it wrote {said!r}"
        ) from error
    return Ended(done.stdout.decode(errors="replace"), done.returncode)


# " .text.main     0x00000010       0x24 build/main.o", which the linker may break after the name
_INPUT = re.compile(r"^ (\.\S+|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$", re.MULTILINE)
_OUTPUT = re.compile(r"^(\.\S+)", re.MULTILINE)


def read_map(text: str) -> dict[tuple[str, str], int]:
    """Bytes of each object file in each section of the image, from the linker's map."""
    _, _, text = text.partition("Linker script and memory map")
    text = re.sub(r"^( \.\S+)\n\s+0x", r"\1 0x", text, flags=re.MULTILINE)
    sizes: dict[tuple[str, str], int] = {}
    section = ""
    for line in text.splitlines():
        if found := _OUTPUT.match(line):
            section = found[1]
        elif found := _INPUT.match(line):
            key = (section, Path(found[4]).name)
            sizes[key] = sizes.get(key, 0) + int(found[3], 16)
    return {key: size for key, size in sizes.items() if size}


def _tool(*command: str | Path) -> None:
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoToolError(f"{command[0]} is not installed") from error
    if done.returncode:
        raise FirmwareError(f"{' '.join(map(str, command))}\n{done.stderr}")
