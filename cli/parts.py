"""Child processes of a run: the same commands a person would type, started and ended together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cli.exits import RunError

GRACE = 10.0  # seconds from a polite end to a forced one
LAST_LINES = 8
LIFELINE = "MICROFED_LIFELINE"  # names the child's end of the pipe


def end_with_parent() -> bool:
    """In a part: end ourselves, politely, once the process that started us is gone.

    Returns whether this process is a part, and not a command that a person typed.
    """
    end = os.environ.pop(LIFELINE, "")
    if not end:
        return False

    def wait() -> None:
        os.read(int(end), 1)  # nothing is ever written: this returns at end of file
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="lifeline").start()
    return True


@dataclass
class Part:
    """One `microfed` command running as a child.  Its stdout, one JSON object, is kept."""

    name: str
    process: subprocess.Popen[str]
    log: Path | None
    lifeline: int  # a pipe's end that we hold: when we die, however, the child reads its end

    @classmethod
    def start(cls, name: str, arguments: Sequence[str], log: Path | None = None) -> Part:
        """Start `microfed ARGUMENTS --json`; stderr goes to `log`, or to ours when None."""
        # -P: the folder that a person stands in may hold packages of our names.
        command = [sys.executable, "-P", "-m", "cli.main", *arguments, "--json"]
        ours, theirs = os.pipe()[::-1]
        stderr: IO[str] | None = log.open("w", encoding="utf-8") if log else None
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                pass_fds=(theirs,),
                env={**os.environ, LIFELINE: str(theirs)},
            )
        finally:
            os.close(theirs)
            if stderr is not None:
                stderr.close()
        return cls(name, process, log, ours)

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the end and return the JSON object.

        Raises:
            RunError: it ended badly, with the last lines of its log.
        """
        output, _ = self.process.communicate(timeout=timeout)
        if self.process.returncode != 0:
            message = f"{self.name} ended with code {self.process.returncode}{self._tail()}"
            raise RunError(message, self.process.returncode)
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    @property
    def failed(self) -> bool:
        """Whether it has ended, and badly."""
        return self.process.poll() not in (None, 0)

    def stop(self) -> None:
        """End it politely, then by force; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _tail(self) -> str:
        if self.log is None:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in lines[-LAST_LINES:]) + f"\n(from {self.log})"


class Parts(AbstractContextManager["Parts"]):
    """Parts that are stopped, last first, when the run is left by whatever way."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def start(self, name: str, arguments: Sequence[str], log: Path | None = None) -> Part:
        """Start a part and remember to stop it."""
        part = Part.start(name, arguments, log)
        self._parts.append(part)
        return part

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in reversed(self._parts):
            part.stop()
