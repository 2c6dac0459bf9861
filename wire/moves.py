"""How codes move from one model version to another, and such moves as bytes.

Where the core is compiled it does the work, in a pass or two where NumPy needs a dozen
(firmware/core/host/moves.h).  NumPy is the reference: it does the same without the core, and
names what that refuses.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import core.moves as compiled
from core.codec import CodedError
from core.library import present
from wire.codecs.microfed import MOST
from wire.errors import CodecError
from wire.leb128 import leb128, numbers

BOOL = NDArray[np.bool_]
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

RARE = compiled.RARE  # larger moves count as this one
_INT32 = np.iinfo(np.int32)
_WHERE = "difference"


class Moves(NamedTuple):
    """What takes some codes to others; codes outside a mask do not move and are not here."""

    values: I64  # (n,): the difference of two int32 each
    largest: int  # magnitude
    moving: int  # those that are not 0
    often: NDArray[np.float64]  # how often each magnitude occurs, ascending; RARE and above as one

    @property
    def share(self) -> float:
        """Of codes that move."""
        return self.moving / max(self.values.size, 1)


def find_moves(origin: I32 | None, codes: I32, mask: BOOL) -> Moves:
    """What takes `origin` (size,) to `codes` (size,), which outside the mask are the same.

    Without an origin: what takes zeros there, whatever is outside the mask.
    """
    if present():
        with suppress(CodedError):
            values, often, found = compiled.find_moves(origin, codes, mask)
            return Moves(values, found.largest, found.moving, often)
    moved = codes.astype(np.int64) - (np.int32(0) if origin is None else origin)
    assert origin is None or not moved[~mask].any(), "a masked code has changed"
    values = moved[mask]
    magnitudes = np.abs(values)
    counts = np.bincount(np.minimum(magnitudes, RARE)).astype(np.float64)
    largest = int(magnitudes.max(initial=0))
    return Moves(values, largest, int(np.count_nonzero(values)), counts[counts > 0])


def write_moves(values: I64) -> bytes:
    """Moves (n,) in zigzag (0, -1, 1, -2 …) and LEB128."""
    if present():
        return compiled.write_moves(values)
    return leb128((values << 1) ^ (values >> 63))


def read_moves(data: bytes, codes: I32, mask: BOOL) -> I32:
    """The codes (size,) after what `write_moves` wrote of a move for each under the mask.

    Raises:
        CodecError: not so many moves and nothing else, or a code that leaves int32.
    """
    if present():
        with suppress(CodedError):
            return compiled.read_moves(data, codes, mask)
    zigzag, end = numbers(data, 0, int(np.count_nonzero(mask)), _WHERE)
    if end != len(data):
        raise CodecError(_WHERE, f"{len(data) - end} bytes after the codes", "none")
    return _after((zigzag >> 1) ^ -(zigzag & 1), codes, mask)


def add_moves(values: I32, codes: I32, mask: BOOL) -> I32:
    """The codes (size,) after a move for each under the mask; CodecError for one beyond int32."""
    if present():
        with suppress(CodedError):
            return compiled.add_moves(values, codes, mask)
    return _after(values.astype(np.int64), codes, mask)


def _after(values: I64, codes: I32, mask: BOOL) -> I32:
    moved = codes[mask] + values
    if np.any((moved < _INT32.min) | (moved > _INT32.max)):
        raise CodecError(_WHERE, "a code beyond 32 bits", "int32")
    found = codes.copy()
    found[mask] = moved
    return found


def carry_codes(codes: I32, changed: BOOL, ratios: F32, channels: I32, mask: BOOL) -> I32 | None:
    """The codes times the ratio of their scale, where that has changed, rounded.

    In float32, each operation rounded once, so a device finds the same; a code that would
    be MOST or beyond becomes 0.

    Args:
        codes: (size,); those outside the mask stay.
        changed: (scales,).
        ratios: (scales,); those of scales that have not changed may be anything.
        channels: (size,): which scale each has.
        mask: (size,).

    Returns None where no code has a scale that changed.
    """
    if present():
        with suppress(CodedError):
            return compiled.carry_codes(codes, changed, ratios, channels, mask)
    where = changed[channels] & mask
    if not where.any():
        return None
    with np.errstate(all="ignore"):  # what overflows becomes 0
        moved = np.rint(codes.astype(np.float32) * ratios[channels])
        moved = np.where(np.abs(moved) < MOST, moved, np.float32(0)).astype(np.int32)
    return np.where(where, moved, codes)
