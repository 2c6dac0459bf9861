"""The format of the microfed codec: few values of an update, where they are, and how large.

What is sent is symbols: 0 for most values, else a sign and a level of at least 1 that
stands for a magnitude of (level + offset) steps.  One step holds for the whole update: the
error that weighs most is then small everywhere.  A symbol that is not 0 costs the gap to
the one before it, in exponential Golomb code with adaptive contexts (Golomb 1966; Teuhola
1978), which also learns that neighbours move together; a plain bit for the sign; and its
level, nearly always 1.  Both directions are one walk over a wire.coder.

docs/protocol.md, section 7, gives the format bit for bit; firmware/core/src/codec is the same
in C, and the tests hold the two byte-identical.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire.coder import COUNTS, GAPS, LEVELS, Coder, Reader, Writer, number
from wire.errors import CodecError

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

OFFSETS = 8  # offset code o: (2 o + 1) / 16 of a step
MOST_LEVEL = 65535
LARGEST = 2.0**20  # of a value; training that gives more has gone astray
LEAST_BUDGET = 4  # bytes: every update can be written in so many
RUNS_FROM = 4  # values for each run, from which on runs are counted apart
_MANTISSAS = (0, 0x0B95C2, 0x1837F0, 0x25FED7, 0x3504F3, 0x45672A, 0x5744FD, 0x6AC0C7)


class Scale(NamedTuple):
    """How levels become magnitudes: two codes."""

    step: int
    offset: int


def step_of(code: int) -> np.float32:
    """The step that a code stands for, exactly."""
    bits = (code // 8 - 26 + 127) << 23 | _MANTISSAS[code % 8]
    return np.uint32(bits).view(np.float32)


def code_symbols(coder: Coder, symbols: I32, bounds: tuple[int, ...], most: int) -> I32:
    """Write `symbols` of magnitudes up to `most`, or read over them; returns them, int32 (n,)."""
    n = bounds[-1]
    total = number(coder, COUNTS, int(np.count_nonzero(symbols)), n, max(1, n >> 8))
    runs = [(i, j) for i, j in pairwise(bounds) if i < j]
    if total < RUNS_FROM * len(runs):
        runs = [(0, n)]
    out = np.zeros(n, np.int32)
    left = total
    for start, stop in runs:
        count = fits = min(left, stop - start)
        if stop < n:
            usual = left * (stop - start) // (n - start)
            count = number(coder, COUNTS, int(np.count_nonzero(symbols[start:stop])), fits, usual)
        elif left > stop - start:
            raise CodecError("coded symbols", f"{left} in the last run", f"{stop - start}")
        _code_run(coder, symbols[start:stop], out[start:stop], count, most)
        left -= count
    return out


def _code_run(coder: Coder, symbols: I32, out: I32, count: int, largest: int) -> None:
    """Write or read the `count` symbols that are not 0."""
    places = np.flatnonzero(symbols)
    at, level = 0, 1
    for i in range(count):
        left = count - i
        gap = int(places[i]) - at if i < len(places) else 0
        most = len(symbols) - at - left
        at += number(coder, GAPS, gap, most, most // (left + 1))
        symbol = int(symbols[at])
        negative = coder.plain(int(symbol < 0), 1)
        level = 1 + number(coder, LEVELS, max(abs(symbol) - 1, 0), largest - 1, level - 1)
        out[at] = -level if negative else level
        at += 1


def write_symbols(symbols: I32, bounds: tuple[int, ...], most: int) -> bytes:
    """A message of nothing but symbols."""
    writer = Writer()
    code_symbols(writer, symbols, bounds, most)
    return writer.finish()


def read_symbols(data: bytes, bounds: tuple[int, ...], most: int) -> I32:
    """What `write_symbols` wrote; CodecError for bytes that it does not write."""
    reader = Reader(data)
    symbols = code_symbols(reader, np.zeros(bounds[-1], np.int32), bounds, most)
    reader.finish()
    return symbols


def code_scale(coder: Coder, scale: Scale) -> Scale:
    """Write or read the two codes."""
    return Scale(coder.plain(scale.step, 8), coder.plain(scale.offset, 3))


def quantize(delta: F32, least: np.float32) -> tuple[I32, Scale]:
    """The symbols of the values whose magnitude is at least `least`, and their scale."""
    code = step_code(least)
    step = step_of(code)
    magnitude = np.abs(delta)
    eighths = (magnitude / step * np.float32(8)).astype(np.int64)
    levels = np.where(magnitude >= least, np.maximum(eighths >> 3, 1), 0)
    kept = levels > 0
    count = int(np.count_nonzero(kept))
    excess = int((eighths - 8 * levels)[kept].sum())
    offset = min(max(excess // count, 0), OFFSETS - 1) if count else 0
    return np.where(delta < 0, -levels, levels).astype(np.int32), Scale(code, offset)


def step_code(least: np.float32) -> int:
    """The largest step that is at most `least`."""
    code = 0
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        if step_of(code | bit) <= least:
            code |= bit
    return code


def dequantize(symbols: I32, scale: Scale) -> F32:
    """(level + offset) · step with its sign, each product rounded once; 0 stays 0."""
    sixteenths = 16 * np.abs(symbols) + (2 * scale.offset + 1)
    magnitude = sixteenths.astype(np.float32) * (step_of(scale.step) * np.float32(1 / 16))
    return np.where(symbols > 0, magnitude, np.where(symbols < 0, -magnitude, 0)).astype(np.float32)


def write(delta: F32, bounds: tuple[int, ...], least: np.float32) -> bytes:
    """The update whose values below `least` are left out."""
    symbols, scale = quantize(delta, least)
    writer = Writer()
    code_scale(writer, scale)
    code_symbols(writer, symbols, bounds, MOST_LEVEL)
    return writer.finish()


def encode(delta: F32, bounds: tuple[int, ...], budget: int) -> bytes:
    """The update in at most `budget` bytes (at least 4), as many of its values as go in.

    Bisects the bits of the smallest magnitude that is sent: floats of one sign are ordered
    as their bits are.
    """
    top = check_largest(delta)
    low = int(np.float32(max(float(step_of(0)), top / (MOST_LEVEL // 2))).view(np.uint32))
    data = write(delta, bounds, np.uint32(low).view(np.float32))
    if len(data) <= budget:
        return data
    high = int(np.float32(LARGEST).view(np.uint32))
    best = write(delta, bounds, np.float32(LARGEST))
    while high - low > 1:
        middle = (low + high) // 2
        data = write(delta, bounds, np.uint32(middle).view(np.float32))
        if len(data) <= budget:
            best, high = data, middle
        else:
            low = middle
    return best


def check_largest(delta: F32) -> float:
    """The largest magnitude; CodecError if it is LARGEST or above."""
    top = float(np.abs(delta).max(initial=np.float32(0)))
    if not top < LARGEST:
        raise CodecError("delta", str(top), f"magnitudes below {LARGEST:g}")
    return top


def decode(data: bytes, bounds: tuple[int, ...]) -> F32:
    """The values; CodecError for bytes that `encode` does not make."""
    reader = Reader(data)
    scale = code_scale(reader, Scale(0, 0))
    symbols = code_symbols(reader, np.zeros(bounds[-1], np.int32), bounds, MOST_LEVEL)
    reader.finish()
    return dequantize(symbols, scale)
