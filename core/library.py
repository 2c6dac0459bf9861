"""Finds and loads the compiled core."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Nothing = ctypes.c_char * 0
LIBRARY = Path(__file__).with_name("libmicrofed.so")


class NoCoreError(RuntimeError):
    """The core was not compiled, or cannot be loaded on this machine."""

    def __init__(self, path: Path, cause: OSError) -> None:
        super().__init__(
            f"{path}: {cause}; a C compiler and `make -C firmware/core` make it "
            "(python -m pip install does that by itself where there is a compiler)"
        )


def location() -> Path:
    """Where the library is, or would be; MICROFED_CORE names another build of it."""
    return Path(os.environ.get("MICROFED_CORE") or LIBRARY)


@cache
def library() -> ctypes.CDLL:
    """The core, loaded once; ctypes releases the GIL for as long as one of its calls runs.

    Raises NoCoreError.
    """
    path = location()
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NoCoreError(path, error) from error


@cache
def present() -> bool:
    """Whether the core can be loaded: what has a reference in Python does without.

    Found out once: where there is none, `library` asks the loader each time.
    """
    try:
        library()
    except NoCoreError:
        return False
    return True


def address_of(whole: NDArray[Any]) -> int:
    """Where a contiguous array begins.

    What `whole.ctypes.data` says, in a fifth of its time where the array can be written.
    """
    if whole.flags.writeable:
        return ctypes.addressof(_Nothing.from_buffer(whole.data))
    return int(whole.ctypes.data)
