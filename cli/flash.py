"""`microfed flash`: build a model for a board, put it there, and test it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.exits import Exit, RunError
from cli.output import Output, reports_errors

if TYPE_CHECKING:
    from firmware.compiler.compile import Compiled
    from firmware.qemu import Machine

# The first five run in QEMU; the others are firmware.flash.REAL_BOARDS.
BOARDS = (
    *("qemu-m3", "qemu-m4", "qemu-m7", "qemu-m55", "qemu-stm32f405"),
    *("nano33ble", "uno-r4", "stm32f405", "nucleo-f446re", "nucleo-l4r5zi"),
    *("esp32", "esp32s3", "pico", "pico2"),
)
INPUTS = 3  # random ones of the self-test, beside the two extremes
SEED = 1


@click.command(epilog="Example: microfed flash tflite_models/har/model.tflite --board qemu-m4")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--board", required=True, type=click.Choice(BOARDS), metavar="NAME",
              help=f"{', '.join(BOARDS)}.")  # fmt: skip
@click.option("--port", default="/dev/ttyACM0", show_default=True, help="Of a real board.")
@click.option(
    "--out",
    "out_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what is built here.  [default: none, or NAME-BOARD for a real board]",
)
@click.option("--dry-run", is_flag=True, help="Only print the commands for a real board.")
@reports_errors
def command(
    model: Path, board: str, port: str, out_folder: Path | None, dry_run: bool, out: Output
) -> None:
    """Build MODEL for a board and run it there: in QEMU with a self-test, else by its tool."""
    from firmware.compiler.compile import compile_model
    from firmware.qemu import MACHINES
    from firmware.targets import TARGETS, needs

    file = model.read_bytes()
    name = model.parent.name if model.stem == "model" else model.stem
    compiled = compile_model(file, name)
    needs(compiled, TARGETS[board])
    with tempfile.TemporaryDirectory() as temporary:
        folder = out_folder or Path(temporary)
        if board in MACHINES:
            _emulate(file, compiled, MACHINES[board], folder, out)
        else:
            folder = out_folder or Path(f"{compiled.name}-{board}")
            _flash(compiled, board, folder, port, out, dry_run=dry_run)


def _emulate(file: bytes, compiled: Compiled, machine: Machine, folder: Path, out: Output) -> None:
    import numpy as np

    from core.int8 import Int8Model
    from firmware.selftest import self_test

    reference = Int8Model(file)
    kind, shape = reference.input.dtype, reference.input.shape[1:]
    low, high = (-4, 4) if kind == np.float32 else (np.iinfo(kind).min, np.iinfo(kind).max)
    x: Any = np.random.default_rng(SEED).integers(low, high, (INPUTS, *shape), endpoint=True)
    x = np.concatenate([x, np.full((1, *shape), low), np.full((1, *shape), high)]).astype(kind)
    tested = self_test(machine, compiled, x, reference.run(x), folder)
    verdict = "as recorded" if tested.differing == 0 else f"{tested.differing} BYTES DIFFER"
    out.line(
        f"{machine.title}: {tested.inputs} inputs, outputs {verdict}; "
        f"{tested.instructions:,} instructions each, {tested.flash:,} bytes of flash, "
        f"{tested.ram:,} of RAM and {tested.stack:,} of stack"
    )
    out.result(
        {
            "board": machine.name,
            "inputs": tested.inputs,
            "differing": tested.differing,
            "instructions": tested.instructions,
            "bytes_flash": tested.flash,
            "bytes_weights": compiled.weight_bytes,
            "bytes_ram": tested.ram,
            "bytes_stack": tested.stack,
        }
    )
    if tested.differing:
        sys.exit(Exit.FAILED)


def _flash(
    compiled: Compiled, board: str, folder: Path, port: str, out: Output, *, dry_run: bool
) -> None:
    from cli.compile import write
    from firmware.exports import EXPORTS
    from firmware.flash import REAL_BOARDS, commands, require

    steps = commands(board, compiled.name, str(folder), port)
    for step in steps:
        out.line(shlex.join(step))
    out.result({"board": board, "commands": steps, "ran": not dry_run})
    if dry_run:
        return
    require(board)
    write(folder, EXPORTS[REAL_BOARDS[board][0].export](compiled))
    for step in steps:
        if subprocess.run(step, stdout=sys.stderr, check=False).returncode:
            raise RunError(f"{shlex.join(step)} failed")
