"""Unsigned LEB128: seven bits a byte, least significant first, bit 7 set when more follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wire.errors import CodecError

BYTES = 5  # in a number at most: 35 bits; the difference of two int32 needs 33


def leb128(values: NDArray[np.int64]) -> bytes:
    """The numbers (n,), none negative, one after the other."""
    longest = max(-(-int(values.max(initial=0)).bit_length() // 7), 1)
    if longest == 1:  # the usual case: each is its own byte
        return values.astype(np.uint8).tobytes()
    lengths = np.ones(values.size, np.int64)
    for size in range(1, longest):
        lengths += values >= 1 << 7 * size
    starts = np.cumsum(lengths) - lengths
    encoded = np.empty(starts[-1] + lengths[-1], np.uint8)
    encoded[starts] = values & 127 | (lengths > 1) << 7
    for index in range(1, longest):
        which = np.flatnonzero(lengths > index)
        seven = values[which] >> 7 * index & 127
        encoded[starts[which] + index] = seven | (lengths[which] > index + 1) << 7
    return encoded.tobytes()


def leb128_of(value: int) -> bytes:
    """One number, not negative."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number(data: bytes, at: int, where: str) -> tuple[int, int]:
    """The number of `data` at offset `at`, and the offset behind it; CodecError as `numbers`."""
    found = 0
    for i, byte in enumerate(data[at : at + BYTES]):
        found |= (byte & 127) << 7 * i
        if byte < 128:
            return found, at + i + 1
    raise CodecError(where, "0 numbers", "1")


def numbers(data: bytes, at: int, n: int, where: str) -> tuple[NDArray[np.int64], int]:
    """`n` numbers of `data` from offset `at`, and the offset behind them.

    Raises:
        CodecError: of `where`: the data ends before them, or one is too long.
    """
    octets = np.frombuffer(data[at : at + BYTES * n], np.uint8)
    if octets.size >= n and octets[:n].max(initial=0) < 128:
        return octets[:n].astype(np.int64), at + n
    ends = np.flatnonzero(octets < 128)[:n]
    if ends.size < n:
        raise CodecError(where, f"{ends.size} numbers", f"{n}")
    starts = np.concatenate(([0], ends[:-1] + 1)) if n else ends
    lengths = ends - starts + 1
    if n and lengths.max() > BYTES:
        raise CodecError(where, f"a number of {lengths.max()} bytes", f"{BYTES}")
    found = (octets[starts] & 127).astype(np.int64)
    for i in range(1, int(lengths.max(initial=0))):
        long = np.flatnonzero(lengths > i)
        found[long] |= (octets[starts[long] + i] & 127).astype(np.int64) << 7 * i
    return found, at + (int(ends[-1]) + 1 if n else 0)
