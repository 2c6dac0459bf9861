"""Federated nodes as programs: compiled for this machine, or for a board of QEMU."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile, copytree

from core.train import Kind
from firmware.host import HostCompiler
from firmware.node import NodeModel, NodeSizes
from firmware.qemu import CORE, HERE, Image, Machine, build
from firmware.selftest import kernel_sources

NODE = HERE / "node"
INCLUDE = (f"-I{NODE / 'include'}", f"-I{NODE / 'src'}")
# what was done where the model's tables were made: firmware/node/src/trusted.c
_DONE = (("mf_check_model", "mf_trust_model"), ("mf_place_pieces", "mf_take_places"))
TRUSTED = tuple(
    flag
    for name, instead in _DONE
    for flag in (f"-Wl,--undefined={instead}", f"-Wl,--defsym={name}={instead}")
)
CHECKED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STACK = 4096  # bytes
MEMORY = {  # beside the chip: samples, and the flash 8 MB behind them
    "qemu-m3": 0x21000000,
    "qemu-m4": 0x21000000,
    "qemu-m7": 0x60000000,
    "qemu-m55": 0x70000000,
}


def node_sources() -> list[Path]:
    """What every node is made of, whatever it runs on; the linker drops what it does not call."""
    folders = (NODE / "src", NODE / "src/mqtt", CORE / "src/codec", CORE / "src/train")
    found = [path for folder in folders for path in sorted(folder.glob("*.c"))]
    kernels = [path for path in kernel_sources() if path.parent.name == "int8"]
    return [*found, CORE / "src/paths/portable.c", *kernels]


def write_made(model: NodeModel, sizes: NodeSizes, out: Path) -> list[Path]:
    """Put what made.h promises into a folder: its C files."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"model.c": model.text, "infer.c": model.inference, "settings.c": sizes.text}
    for name, text in files.items():
        (out / name).write_text(text)
    return [out / name for name in files]


def export_node(model: NodeModel, sizes: NodeSizes, out: Path) -> list[Path]:
    """Write a node for any board into a folder: include/, src/, and what is made of the model.

    All of src/ is to be compiled as C99 with -Iinclude -Isrc and MATH's flags.  Returns the
    files that were made.
    """
    for folder in (CORE / "include/microfed", NODE / "include/microfed"):
        copytree(folder, out / "include/microfed", dirs_exist_ok=True)
    for source in node_sources():
        root = next(root for root in (CORE / "src", NODE / "src") if source.is_relative_to(root))
        _copy(source, out / "src" / source.relative_to(root))
    for root in (CORE / "src", NODE / "src"):
        for header in root.rglob("*.h"):
            _copy(header, out / "src" / header.relative_to(root))
    return write_made(model, sizes, out / "src")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    copyfile(source, target)


def posix_program(
    model: NodeModel, sizes: NodeSizes, out: Path, *, flags: tuple[str, ...] = ("-O2",)
) -> Path:
    """Compile the node of a model for this machine: firmware/node/posix/main.c.

    Raises FirmwareError, NoToolError without a compiler.
    """
    made = write_made(model, sizes, out)
    posix = sorted((NODE / "posix").glob("*.c"))
    program = out / "node"
    compiler = HostCompiler(flags=(*flags, *INCLUDE, f"-I{NODE / 'posix'}"))
    compiler.run(*node_sources(), *posix, *made, "-lm", "-o", program)
    return program


def only(model: NodeModel) -> tuple[str, ...]:
    """What the compiler is told so that code which this model never reaches is not in the image.

    kernels/only.h says what each of them means.
    """
    network, (places, _) = model.trainable, model.plan.places
    bits = {int(step.kind) for step in network.steps} | {16 + int(network.struct.loss)}
    pools = [step for step in network.steps if step.kind == Kind.MAX_POOL]
    marked = all(places[3 * step.output + 2] >= 0 for step in pools)
    return (
        f"-DMF_ONLY_KINDS=0x{sum(1 << bit for bit in bits):X}u",
        "-DMF_ONLY_STORED",
        *(["-DMF_ONLY_MARKED"] if marked else []),
    )


def qemu_image(
    machine: Machine, model: NodeModel, sizes: NodeSizes, out: Path, *, optimized: str = "-O2"
) -> Image:
    """Build the node of a model for a board of QEMU: firmware/node/qemu/main.c.

    Its name and its data are no part of the image.  Raises FirmwareError, NoToolError.
    """
    made = write_made(model, sizes, out)
    qemu = sorted((NODE / "qemu").glob("*.c"))
    board = (f"-DBOARD_MEMORY=0x{MEMORY[machine.name]:X}u", f'-DBOARD_NAME="{machine.name}"')
    return build(
        machine,
        [*node_sources(), *qemu, *made],
        out,
        flags=(optimized, *only(model), *INCLUDE, f"-I{NODE / 'qemu'}", *board),
        link=TRUSTED,
        stack=STACK,
    )
