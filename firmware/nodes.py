"""Federated nodes as programs of this machine: compiled, started, and ended by their process."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware.host import HostCompiler
from firmware.node import NodeModel, NodeSizes
from firmware.qemu import CORE, HERE, Image, Machine, build

NODE = HERE / "node"
INCLUDE = (f"-I{NODE / 'include'}", f"-I{NODE / 'src'}")
STACK = 4096  # bytes
NAME = 36  # bytes of a name in the data of a node on a board
MEMORY = {  # beside the chip: samples, and the flash 8 MB behind them
    "qemu-m3": 0x21000000,
    "qemu-m4": 0x21000000,
    "qemu-m7": 0x60000000,
    "qemu-m55": 0x70000000,
}
POLL = 0.2
GRACE = 5.0  # seconds from a polite end to a forced one
CHECKED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def node_sources() -> list[Path]:
    """What every node is made of, whatever it runs on: itself, training and the codec."""
    folders = (NODE / "src", NODE / "src/mqtt", CORE / "src/codec", CORE / "src/train")
    found = [path for folder in folders for path in sorted(folder.glob("*.c"))]
    return [*found, CORE / "src/paths/portable.c"]


def write_made(model: NodeModel, sizes: NodeSizes, out: Path) -> list[Path]:
    """Put what made.h promises into a folder: its C files."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.c").write_text(model.text)
    (out / "settings.c").write_text(sizes.text)
    return [out / "model.c", out / "settings.c"]


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


@dataclass(frozen=True)
class Who:
    """A node's place in a fleet."""

    host: str
    port: int
    fleet: str
    device: str


@dataclass
class RunningNode:
    """One node's process; what it says is in its folder's node.log."""

    who: Who
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> list[str]:
        """What it has written so far, line by line."""
        return (self.folder / "node.log").read_text(errors="replace").splitlines()

    def stop(self) -> None:
        """End it politely, then by force; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """What a loss of power does."""
        self.process.kill()
        self.process.wait()


def start_posix(program: Path, who: Who, samples: bytes, folder: Path) -> RunningNode:
    """Start a node whose flash and samples are files in `folder`; flash found there is used."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples").write_bytes(samples)
    address = (who.host, str(who.port), who.fleet, who.device)
    return _start([program, *address, "samples", "flash"], who, folder)


def _start(words: list[str | Path], who: Who, folder: Path) -> RunningNode:
    with (folder / "node.log").open("ab") as log:
        process = subprocess.Popen(
            list(map(str, words)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return RunningNode(who, folder, process)


class RunningNodes:
    """Nodes that are stopped when they are left by whatever way."""

    def __init__(self) -> None:
        self.nodes: dict[str, RunningNode] = {}
        self._stack = ExitStack()

    def add(self, node: RunningNode) -> None:
        """Remember to stop a node."""
        self.nodes[node.who.device] = node
        self._stack.callback(node.stop)

    def wait(self) -> None:
        """Until all have ended, those too that are added while we wait."""
        while running := [n for n in self.nodes.values() if n.process.poll() is None]:
            with suppress(subprocess.TimeoutExpired):
                running[0].process.wait(POLL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def qemu_image(
    machine: Machine, model: NodeModel, sizes: NodeSizes, out: Path, *, flags: tuple[str, ...] = ()
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
        flags=("-Os", *flags, *INCLUDE, f"-I{NODE / 'qemu'}", *board),
        stack=STACK,
    )


def start_qemu(
    machine: Machine, image: Image, who: Who, samples: bytes, folder: Path
) -> RunningNode:
    """Start a node on a board, its second UART wired to the broker.

    Its flash is a file in `folder`; what is found there is used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = b"".join(name.encode().ljust(NAME, b"\0") for name in (who.fleet, who.device))
    (folder / "data").write_bytes(names + samples)
    words: list[str | Path] = [
        *("qemu-system-arm", "-M", machine.qemu, "-nographic", "-monitor", "none"),
        *("-semihosting-config", "enable=on,target=native", "-icount", "shift=6"),
        *("-chardev", f"socket,id=net,host={who.host},port={who.port},server=off,reconnect=1"),
        *("-serial", "stdio", "-serial", "chardev:net", "-kernel", str(image.elf)),
        *("-device", f"loader,file=data,addr=0x{MEMORY[machine.name]:X},force-raw=on"),
    ]
    return _start(words, who, folder)
