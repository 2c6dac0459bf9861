"""From one model version to a later one: changed scales, and the differences of codes.

Both sides hold the old version and the mask, so only what changed is worth
bytes.  docs/protocol.md gives the layout.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire.errors import CodecError
from wire.packing import pack, unpack

_INT32 = np.iinfo(np.int32)
_LEB_BYTES = 5  # the difference of two int32 needs 33 bits


class Codes(NamedTuple):
    """One model version: codes int32 (size,), one per parameter; scales float32 (scales,)."""

    codes: NDArray[np.int32]
    scales: NDArray[np.float32]


def check_of(codes: Codes) -> int:
    """What tells one version from another of the same number: CRC-32 of codes and scales."""
    return zlib.crc32(codes.codes.astype("<i4").tobytes() + codes.scales.astype("<f4").tobytes())


def encode_difference(old: Codes, new: Codes, mask: NDArray[np.bool_]) -> bytes:
    """What takes `old` to `new`.  Codes outside `mask` must be the same in both."""
    assert np.array_equal(old.codes[~mask], new.codes[~mask]), "a masked code has changed"
    changed = np.flatnonzero(old.scales.view(np.uint32) != new.scales.view(np.uint32))
    gaps = np.diff(changed, prepend=-1) - 1
    head = [_leb128(np.array([changed.size]))]
    for gap, scale in zip(gaps, new.scales[changed].astype("<f4"), strict=True):
        head += [_leb128(np.array([gap])), scale.tobytes()]
    difference = new.codes[mask].astype(np.int64) - old.codes[mask]
    return pack(b"".join(head) + _leb128((difference << 1) ^ (difference >> 63)))


def apply_difference(data: bytes, old: Codes, mask: NDArray[np.bool_]) -> Codes:
    """The version that `data` takes `old` to; codes outside `mask` stay.

    Raises:
        CodecError: not a difference for so many scales and codes, or one
            that leaves int32, or gives a scale that is not positive and finite.
    """
    n = int(np.count_nonzero(mask))
    body = unpack(data, _LEB_BYTES * (1 + old.scales.size + n) + 4 * old.scales.size, "difference")
    scales, at = _new_scales(old.scales, body)
    zigzag, at = _numbers(body, at, n)
    if at != len(body):
        raise CodecError("difference", f"{len(body) - at} bytes after the codes", "none")
    return Codes(_new_codes(old.codes, mask, (zigzag >> 1) ^ -(zigzag & 1)), scales)


def _new_codes(
    old: NDArray[np.int32], mask: NDArray[np.bool_], difference: NDArray[np.int64]
) -> NDArray[np.int32]:
    moved = old[mask] + difference
    if np.any((moved < _INT32.min) | (moved > _INT32.max)):
        raise CodecError("difference", "a code beyond 32 bits", "int32")
    codes = old.copy()
    codes[mask] = moved
    return codes


def _new_scales(old: NDArray[np.float32], body: bytes) -> tuple[NDArray[np.float32], int]:
    """The scales after the changes at the start of `body`, and the offset behind those."""
    scales = old.copy()
    (changed,), at = _numbers(body, 0, 1)
    if changed > old.size:
        raise CodecError("difference", f"{changed} changed scales", f"at most {old.size}")
    index = -1
    for _ in range(changed):
        (gap,), at = _numbers(body, at, 1)
        index += int(gap) + 1
        if index >= old.size or len(body) < at + 4:
            found = f"scale {index} at byte {at} of {len(body)}"
            raise CodecError("difference", found, f"scales 0 to {old.size - 1}, four bytes each")
        scales[index] = np.frombuffer(body, "<f4", count=1, offset=at)[0]
        at += 4
        if not (np.isfinite(scales[index]) and scales[index] > 0):
            raise CodecError("difference", f"scale {scales[index]}", "a positive finite float")
    return scales, at


def _leb128(numbers: NDArray[np.int64]) -> bytes:
    """Unsigned LEB128: seven bits a byte, least significant first, bit 7 when more follow."""
    if numbers.max(initial=0) < 128:  # the usual case: each is its own byte
        return numbers.astype(np.uint8).tobytes()
    shifts = np.arange(0, 7 * _LEB_BYTES, 7)
    groups = numbers[:, None] >> shifts
    used = groups > 0
    used[:, 0] = True
    more = np.zeros_like(used)
    more[:, :-1] = used[:, 1:]
    encoded: bytes = ((groups & 127) | (more << 7))[used].astype(np.uint8).tobytes()
    return encoded


def _numbers(data: bytes, at: int, n: int) -> tuple[NDArray[np.int64], int]:
    """`n` LEB128 numbers of `data` from offset `at`, and the offset behind them."""
    octets = np.frombuffer(data[at : at + _LEB_BYTES * n], np.uint8)
    if octets.size >= n and octets[:n].max(initial=0) < 128:
        return octets[:n].astype(np.int64), at + n
    ends = np.flatnonzero(octets < 128)[:n]
    if ends.size < n:
        raise CodecError("difference", f"{ends.size} numbers", f"{n}")
    starts = np.concatenate(([0], ends[:-1] + 1)) if n else ends
    lengths = ends - starts + 1
    if n and lengths.max() > _LEB_BYTES:
        raise CodecError("difference", f"a number of {lengths.max()} bytes", f"{_LEB_BYTES}")
    numbers = np.zeros(n, np.int64)
    for i in range(_LEB_BYTES):
        long = lengths > i
        numbers[long] |= (octets[starts[long] + i] & 127).astype(np.int64) << 7 * i
    return numbers, at + (int(ends[-1]) + 1 if n else 0)
