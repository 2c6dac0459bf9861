"""Nodes that run: started, watched by what they say, and ended by their process."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware.nodes import MEMORY
from firmware.qemu import Image, Machine, NoToolError

LOG = "node.log"
NAME = 36  # bytes of a name in the data of a node on a board
POLL = 0.2
GRACE = 5.0  # seconds from a polite end to a forced one


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
        return (self.folder / LOG).read_text(errors="replace").splitlines()

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
    with (folder / LOG).open("ab") as log:
        try:
            process = subprocess.Popen(
                list(map(str, words)),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError as error:
            raise NoToolError(f"{words[0]} is not installed") from error
    (folder / "pid").write_text(f"{process.pid}\n")
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


@dataclass(frozen=True)
class Account:
    """What a node said of itself, over all its lives."""

    trained: int  # rounds
    instructions: int  # of all its training; 0: not counted
    stack: int  # bytes, at most; 0: not measured
    restarts: int
    left: bool  # it said goodbye


_TRAINED = re.compile(r"^trained \d+ instructions (\d+) stack (\d+)$", re.MULTILINE)


def account_of(folder: Path, lives: int = 1) -> Account:
    """What the log in a node's folder says."""
    path = folder / LOG
    text = path.read_text(errors="replace") if path.exists() else ""
    found = [(int(n), int(stack)) for n, stack in _TRAINED.findall(text)]
    return Account(
        trained=len(re.findall(r"^update \d+ ", text, re.MULTILINE)),
        instructions=sum(n for n, _ in found),
        stack=max((stack for _, stack in found), default=0),
        restarts=lives - 1,
        left=re.search(r"^left ", text, re.MULTILINE) is not None,
    )
