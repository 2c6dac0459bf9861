"""What can end an aggregator, each as its own class."""

from __future__ import annotations

from pathlib import Path


class AggregatorError(Exception):
    """Base of every error that aggregator/ raises on purpose."""


class StoreMismatchError(AggregatorError):
    """A run directory holds the state of another run than the one asked for."""

    def __init__(self, path: Path, what: str, stored: object, asked: object) -> None:
        super().__init__(
            f"{path} belongs to another run: {what} is {stored!r} there and {asked!r} here; "
            "resume with the same settings and base file, or choose another run directory"
        )
        self.path, self.what, self.stored, self.asked = path, what, stored, asked


class NoRunError(AggregatorError):
    """A directory holds no run that can be read."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} cannot be read as a run: {why}")
        self.path, self.why = path, why


class RunBusyError(AggregatorError):
    """Another process is at work in the run directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is in use by another process; stop that one first")
        self.directory = directory


class QuorumLostError(AggregatorError):
    """Too many rounds in a row did not reach their quorum."""

    def __init__(self, abandoned: int, number: int, accepted: int, quorum: int) -> None:
        super().__init__(
            f"{abandoned} rounds in a row did not reach their quorum; the last, round {number}, "
            f"had {accepted} of {quorum} updates at its deadline"
        )
        self.abandoned, self.number, self.accepted, self.quorum = (
            abandoned,
            number,
            accepted,
            quorum,
        )
