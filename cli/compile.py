"""`microfed compile`: from a .tflite to C99."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.flash import BOARDS as FLASHED
from cli.output import Output, reports_errors, size

if TYPE_CHECKING:
    from firmware.compiler.compile import Compiled
    from firmware.targets import Needs, Target

# Each is a function of firmware.exports; tflm is the array that TensorFlow Lite Micro reads.
BOARDS = (*FLASHED, "mps2-an386")  # firmware.targets.TARGETS
EXPORTS = ("plain", "arduino", "platformio", "zephyr", "esp-idf", "cmake", "tflm")


@click.command(epilog="Example: microfed compile tflite_models/har/model.tflite --out har-c")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    "out_folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to.",
)
@click.option("--name", help="Prefix of the functions.  [default: after the file]")
@click.option(
    "--export",
    "kind",
    type=click.Choice(EXPORTS),
    default="plain",
    show_default=True,
    help="What the folder is: C files, or what another tool opens.",
)
@click.option(
    "--updatable",
    "version",
    type=click.IntRange(0, 2**32 - 1),
    metavar="VERSION",
    help="Keep weights in a slot that an update can replace; writes update-*.bin.",
)
@click.option(
    "--rounding",
    type=click.Choice(("double", "single")),
    default="double",
    show_default=True,
    help="The bytes of TensorFlow Lite Micro, or of LiteRT's reference kernels.",
)
@click.option(
    "--board",
    type=click.Choice(BOARDS),
    metavar="NAME",
    help=f"Compile for one board; exit code 7 if the model does not fit. {', '.join(BOARDS)}.",
)
@reports_errors
def command(
    model: Path,
    out_folder: Path,
    name: str | None,
    kind: str,
    version: int | None,
    rounding: str,
    board: str | None,
    out: Output,
) -> None:
    """Compile an int8 MODEL to C99 that computes, byte for byte, what TFLM computes."""
    if rounding == "single" and version is not None:
        raise click.UsageError("--updatable rounds twice: not with --rounding single")
    if kind == "tflm" and board is not None:
        raise click.UsageError("--export tflm is for any board: `microfed inspect` says if it fits")
    from firmware.compiler.compile import compile_model
    from firmware.compiler.names import identifier
    from firmware.exports import EXPORTS as FOLDERS
    from firmware.exports import model_data, sources
    from firmware.targets import TARGETS, makefile, needs
    from tflite_models.errors import ModelError
    from tflite_models.graph import read_graph

    file = model.read_bytes()
    name = name or (model.parent.name if model.stem == "model" else model.stem)
    try:
        if kind == "tflm":
            files = model_data(file, read_graph(file), identifier(name))
            write(out_folder, files)
            out.line(f"{out_folder}: {', '.join(files)}")
            out.result({"files": sorted(files)})
            return
        target = TARGETS[board] if board else None
        layout = target.core.layout if target else None
        compiled = compile_model(file, name, version, single=rounding == "single", layout=layout)
    except ModelError as error:
        raise ModelError(str(model), f"{error.where}: {error.what}") from error
    needed = needs(compiled, target) if target else None
    files = sources(compiled) if kind == "plain" else FOLDERS[kind](compiled)
    if target and kind == "plain":
        files["Makefile"] = makefile(compiled, target)
    write(out_folder, files)
    for path, update in compiled.updates.items():
        (out_folder / f"update-{path}.bin").write_bytes(update)
    _tell(out_folder, compiled, sorted(files), (target, needed) if target and needed else None, out)


def _tell(
    folder: Path,
    compiled: Compiled,
    files: list[str],
    board: tuple[Target, Needs] | None,
    out: Output,
) -> None:
    """Say what was written, and what it takes of the board."""
    plan = compiled.plan
    out.line(
        f"{folder}: {len(compiled.network.layers)} layers, {size(compiled.weight_bytes)} of "
        f"weights, {size(compiled.constant_bytes)} of other constants, "
        f"{size(compiled.ram_bytes)} of RAM (no plan needs less than {size(plan.bound)})"
    )
    result: dict[str, object] = {
        "name": compiled.name,
        "bytes_weights": compiled.weight_bytes,
        "bytes_constants": compiled.constant_bytes,
        "bytes_ram": compiled.ram_bytes,
        "bytes_ram_bound": plan.bound,
        "layers": [layer.name for layer in compiled.network.layers],
        "files": files,
    }
    if board:
        target, needed = board
        out.line(
            f"{target.title}, {target.core.kernels}: {needed.bytes_flash_needed:,} of "
            f"{target.flash:,} bytes of flash, {needed.bytes_ram_needed:,} of {target.ram:,} of "
            "RAM, code and stack included"
        )
        result |= {"board": target.name} | asdict(needed)
    out.result(result)


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files by their paths below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
