"""The numbers of a base file by the coder of updates: weights, and wider ones.

Of a weight: whether it is 0, its sign, and how far its magnitude is above 1.  What pruning
left has magnitudes far from 0, all as likely as each other's neighbours, so each is coded by
itself.  A wide number has a length near that of the one before it.

`code` is the reference, both ways; where the core is compiled it does the work, and writes
the same bytes.  docs/protocol.md, section 6, gives the format bit for bit.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

import core.codec as compiled
from core.library import NoCoreError, library
from wire.coder import COUNTS, GAPS, LEVELS, Coder, Reader, Writer, number
from wire.errors import CodecError

I32 = NDArray[np.int32]

ABOVE = 127  # the largest magnitude - 1; most have as many bits
WIDEST = 2**32 - 1
_BYTES = 10  # that a number takes at most, in contexts that expect another


def code(coder: Coder, numbers: I32, bounds: tuple[int, ...], wide: bytes) -> I32:
    """Write the numbers, or read as many; returns them, int32 (n,)."""
    found = np.zeros(bounds[-1], np.int32)
    for (start, stop), is_wide in zip(pairwise(bounds), wide, strict=True):
        last = 0
        for i in range(start, stop):
            value = int(numbers[i])
            if is_wide:
                last = number(coder, GAPS, 2 * value if value >= 0 else ~(2 * value), WIDEST, last)
                found[i] = last >> 1 if last % 2 == 0 else ~(last >> 1)
            else:
                found[i] = _weight(coder, value)
    return found


def _weight(coder: Coder, value: int) -> int:
    if not number(coder, COUNTS, int(value != 0), 1, 1):
        return 0
    negative = coder.plain(int(value < 0), 1)
    magnitude = 1 + number(coder, LEVELS, max(abs(value) - 1, 0), ABOVE, ABOVE)
    if magnitude > ABOVE and not negative:
        raise CodecError("coded weight", str(magnitude), "-128 to 127")
    return -magnitude if negative else magnitude


def write_numbers(numbers: I32, bounds: tuple[int, ...], wide: bytes) -> bytes:
    """A message of them; `wide` has a byte for each run, 0 where it is of int8 weights."""
    if _compiled():
        return compiled.encode_numbers(numbers, bounds, wide, 16 + _BYTES * numbers.size)
    writer = Writer()
    code(writer, numbers, bounds, wide)
    return writer.finish()


def read_numbers(data: bytes, bounds: tuple[int, ...], wide: bytes) -> I32:
    """What `write_numbers` wrote; CodecError for bytes that it does not write."""
    if _compiled():
        try:
            return compiled.decode_numbers(data, bounds, wide)
        except compiled.CodedError as error:
            raise CodecError("base", f"{len(data)} bytes", f"{bounds[-1]} numbers") from error
    reader = Reader(data)
    found = code(reader, np.zeros(bounds[-1], np.int32), bounds, wide)
    reader.finish()
    return found


def _compiled() -> bool:
    try:
        library()
    except NoCoreError:
        return False
    return True
