"""Real boards, what they have, and whether a model fits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tflite_models.inspect import Summary

KB = 1024

# What stands beside a model, measured with TensorFlow Lite Micro and CMSIS-NN on a Cortex-M4
# (gcc 12.2 -O2) over the four MLPerf Tiny models: at most 85,108 bytes of code and constants,
# and 6,820 bytes of RAM beyond the activations where its planner found the best plan.
RUNTIME_FLASH = 84 * KB
RUNTIME_RAM = 7 * KB
STACK = 4 * KB


class UnknownBoardError(Exception):
    """No board of this name is in the table."""


@dataclass(frozen=True)
class Core:
    """How many cycles a kind of core takes for an instruction that a Cortex-M4F executes.

    `cycles` is an estimate, and `least` and `most` its range: docs/boards.md says from what.
    None: such a core does not execute those instructions, so nothing measured stands for it.
    """

    name: str
    cycles: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Power:
    """What a board's chip draws, typically, at room temperature."""

    volts: float
    active_ma: float  # while it computes at the table's clock, radio off
    sleep_ua: float | None  # between rounds, with what must be kept and a clock; None: no source
    source: str


@dataclass(frozen=True)
class Board:
    """A board: `flash` holds program and model, `ram` is what data may use in one piece."""

    name: str
    title: str
    core: str
    clock_mhz: int
    flash: int
    ram: int
    source: str
    power: Power | None = None  # None: no source for what it draws while it computes

    def seconds(self, instructions: float) -> float | None:
        """How long so many instructions of a Cortex-M4F take here; None: that is not known."""
        cycles = CORES[self.core].cycles
        return None if cycles is None else instructions * cycles / (self.clock_mhz * 1e6)

    @property
    def watts(self) -> float | None:
        """While it computes."""
        return None if self.power is None else self.power.volts * self.power.active_ma / 1e3

    @property
    def sleep_watts(self) -> float | None:
        """While it sleeps."""
        if self.power is None or self.power.sleep_ua is None:
            return None
        return self.power.volts * self.power.sleep_ua / 1e6


# Of a Cortex-M4F by Arm's table of cycles, of the others by their CoreMark per MHz beside its own.
_CORES = (
    Core("Cortex-M4F", 1.7, 1.4, 1.9),
    Core("Cortex-M33, 2 cores", 1.4, 1.2, 1.6),
    Core("Xtensa LX6, 2 cores", 2.8, 2.3, 3.1),
    Core("Xtensa LX7, 2 cores", 2.3, 1.9, 2.6),
    Core("Cortex-M0+, 2 cores"),  # without a floating-point unit
)
CORES = {core.name: core for core in _CORES}


_BOARDS = (
    Board(
        "nano33ble",
        "Arduino Nano 33 BLE Sense (nRF52840)",
        "Cortex-M4F",
        64,
        1024 * KB,
        256 * KB,
        "https://docs.arduino.cc/resources/datasheets/ABX00031-datasheet.pdf",
        Power(
            *(3.0, 3.3, 3.16),  # DC/DC converter on; all RAM kept, real-time counter running
            "https://docs.nordicsemi.com/r/bundle/ps_nrf52840/page/_tmp/nrf52840/autodita/current/parameters.frontpage.html",
        ),
    ),
    Board(
        "uno-r4",
        "Arduino UNO R4 Minima (RA4M1)",
        "Cortex-M4F",
        48,
        256 * KB,
        32 * KB,
        "https://docs.arduino.cc/resources/datasheets/ABX00080-datasheet.pdf",
    ),
    Board(
        "stm32f405",
        "Pyboard, Feather STM32F405 (STM32F405RG)",
        "Cortex-M4F",
        168,
        1024 * KB,
        128 * KB,  # the other 64 KB are core-coupled, at another address
        "https://www.st.com/resource/en/datasheet/stm32f405rg.pdf",
        Power(
            *(3.3, 40.0, None),  # 238 µA/MHz from flash, of the STM32F407 too
            "https://www.st.com/en/microcontrollers-microprocessors/stm32f407-417.html",
        ),
    ),
    Board(
        "nucleo-f446re",
        "NUCLEO-F446RE (STM32F446RE)",
        "Cortex-M4F",
        180,
        512 * KB,
        128 * KB,
        "https://www.st.com/resource/en/datasheet/stm32f446re.pdf",
    ),
    Board(
        "nucleo-l4r5zi",
        "NUCLEO-L4R5ZI (STM32L4R5ZI)",
        "Cortex-M4F",
        120,
        2048 * KB,
        640 * KB,
        "https://www.st.com/resource/en/datasheet/stm32l4r5zi.pdf",
        Power(
            *(3.0, 12.0, None),  # 100 µA/MHz
            "https://docs.zephyrproject.org/latest/boards/st/nucleo_l4r5zi/doc/index.html",
        ),
    ),
    Board(
        "esp32",
        "ESP32-DevKitC (ESP32-WROOM-32E)",
        "Xtensa LX6, 2 cores",
        240,
        4096 * KB,
        320 * KB,  # of 520 KB, the rest holds code and caches
        "https://www.espressif.com/sites/default/files/documentation/esp32_datasheet_en.pdf",
        Power(
            *(3.3, 49.0, 10.0),  # the middle of 30 to 68 mA; deep sleep, which keeps no large RAM
            "https://www.espressif.com/sites/default/files/documentation/esp32_datasheet_en.pdf",
        ),
    ),
    Board(
        "esp32s3",
        "ESP32-S3-DevKitC-1 (ESP32-S3-WROOM-1-N8)",
        "Xtensa LX7, 2 cores",
        240,
        8192 * KB,
        320 * KB,  # of 512 KB, the rest holds code and caches
        "https://www.espressif.com/sites/default/files/documentation/esp32-s3_datasheet_en.pdf",
    ),
    Board(
        "pico",
        "Raspberry Pi Pico (RP2040)",
        "Cortex-M0+, 2 cores",
        133,
        2048 * KB,
        264 * KB,
        "https://datasheets.raspberrypi.com/pico/pico-datasheet.pdf",
    ),
    Board(
        "pico2",
        "Raspberry Pi Pico 2 (RP2350)",
        "Cortex-M33, 2 cores",
        150,
        4096 * KB,
        520 * KB,
        "https://datasheets.raspberrypi.com/pico/pico-2-datasheet.pdf",
    ),
    Board(
        "mps2-an386",
        "Arm MPS2+ with AN386, as QEMU has it",
        "Cortex-M4F",
        25,
        4096 * KB,
        4096 * KB,
        "https://www.qemu.org/docs/master/system/arm/mps2.html",
    ),
)
BOARDS = {board.name: board for board in _BOARDS}


@dataclass(frozen=True)
class Verdict:
    """Whether a model fits a board, and why: one sentence for flash, one for RAM."""

    fits: bool
    flash: int  # needed, bytes
    ram: int
    reasons: tuple[str, ...]


def board_named(name: str) -> Board:
    """The board of this name; UnknownBoardError lists those there are."""
    if name not in BOARDS:
        raise UnknownBoardError(f"board {name!r}: allowed are {', '.join(BOARDS)}")
    return BOARDS[name]


def fits(summary: Summary, board: Board) -> Verdict:
    """Compare what a model and its runtime need with what the board has."""
    flash = summary.flash_bytes + RUNTIME_FLASH
    ram = summary.peak_ram + RUNTIME_RAM + STACK
    reasons = (
        _reason(
            "flash", flash, board.flash, f"file {summary.flash_bytes:,} + runtime {RUNTIME_FLASH:,}"
        ),
        _reason(
            "RAM",
            ram,
            board.ram,
            f"tensors {summary.peak_ram:,} + runtime {RUNTIME_RAM:,} + stack {STACK:,}",
        ),
    )
    return Verdict(flash <= board.flash and ram <= board.ram, flash, ram, reasons)


def _reason(what: str, needed: int, there: int, parts: str) -> str:
    word = "fits" if needed <= there else "does not fit"
    return f"{what} {word}: {needed:,} bytes ({parts}) of {there:,}"
