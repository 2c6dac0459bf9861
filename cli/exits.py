"""Exit codes (docs/cli.md), and which error leads to which."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process says when it ends; 2 is click's for a wrong command line."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    DATA = 4
    BROKER = 5
    MODEL = 6
    BUDGET = 7
    MISSING = 8
    INTERRUPTED = 130


# By name, because a command that never imports a module cannot raise its errors,
# and naming the class here must not import it either.
BY_ERROR = {
    "cli.config.ConfigError": Exit.CONFIG,
    "cli.exits.MissingError": Exit.MISSING,
    "core.library.NoCoreError": Exit.MISSING,
    "device_sim.cluster.NoRayError": Exit.MISSING,
    "device_sim.cluster.NotSharedError": Exit.CONFIG,
    "datasets.errors.DataError": Exit.DATA,
    "mqtt_client.endpoint.BrokerUnreachable": Exit.BROKER,
    "mqtt_broker.errors.BrokerError": Exit.BROKER,
    "tflite_models.boards.UnknownBoardError": Exit.CONFIG,
    "tflite_models.errors.ModelError": Exit.MODEL,
    "pipeline.errors.ModelRefusedError": Exit.CONFIG,
    "pipeline.errors.BudgetError": Exit.BUDGET,
    "pipeline.errors.BuildError": Exit.MODEL,
    "firmware.targets.DoesNotFitError": Exit.BUDGET,
    "firmware.qemu.NoToolError": Exit.MISSING,
    "firmware.flash.MissingToolError": Exit.MISSING,
    "firmware.qemu.FirmwareError": Exit.FAILED,
    "aggregator.errors.AggregatorError": Exit.FAILED,
}


class MissingError(Exception):
    """A program or package that this command needs is not installed."""


class RunError(Exception):
    """A part of a run ended badly; `code` is its exit code, where that means something."""

    def __init__(self, message: str, code: int = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = Exit(code) if code in set(Exit) else Exit.FAILED


def exit_code(error: BaseException) -> Exit | None:
    """Return the code of an error meant for people, None for a defect of ours."""
    if isinstance(error, RunError):
        return error.code
    if isinstance(error, OSError) and error.filename is not None:
        return Exit.FAILED  # a file or folder that cannot be read or written: it says which
    for cls in type(error).__mro__:
        code = BY_ERROR.get(f"{cls.__module__}.{cls.__qualname__}")
        if code is not None:
            return code
    return None
