"""From one model version to a later one: changed scales, and the differences of codes.

Both sides hold the old version and the mask, so only what changed is worth
bytes.  docs/protocol.md gives the layout.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire.codecs.microfed import MOST, code_differences, read_differences
from wire.errors import CodecError
from wire.leb128 import BYTES as LEB_BYTES
from wire.leb128 import leb128, numbers
from wire.packing import pack, unpack

DENSE = 0.8  # share of codes that move, from which on packed bytes are the shorter ones
CODED = 2  # the first byte, beside the two of wire.packing
_INT32 = np.iinfo(np.int32)


class Codes(NamedTuple):
    """One model version: codes int32 (size,), one per parameter; scales float32 (scales,)."""

    codes: NDArray[np.int32]
    scales: NDArray[np.float32]


def check_of(codes: Codes) -> int:
    """What tells one version from another of the same number: CRC-32 of codes and scales."""
    return zlib.crc32(codes.codes.astype("<i4").tobytes() + codes.scales.astype("<f4").tobytes())


def encode_difference(old: Codes, new: Codes, mask: NDArray[np.bool_]) -> bytes:
    """What takes `old` to `new`: coded, or packed where that is as short or must be.

    Coding pays by what it saves on the codes that stay.  Where most move, packed bytes are no
    longer and are written and read in a fifth of the time.  Codes outside `mask` must be the
    same in both.
    """
    moved = new.codes.astype(np.int64) - old.codes
    assert not moved[~mask].any(), "a masked code has changed"
    scales = _changed_scales(old.scales, new.scales)
    difference = moved[mask]
    dense = np.count_nonzero(difference) > DENSE * difference.size
    far = np.abs(difference).max(initial=0) > MOST
    return packed(scales, difference) if dense or far else coded(scales, difference)


def packed(scales: bytes, difference: NDArray[np.int64]) -> bytes:
    """A difference in packed bytes: any code may move to any other."""
    return pack(scales + leb128((difference << 1) ^ (difference >> 63)))


def coded(scales: bytes, difference: NDArray[np.int64]) -> bytes:
    """A difference by the coder of updates: no code may move by more than MOST."""
    return bytes([CODED]) + scales + code_differences(difference.astype(np.int32))


def apply_difference(data: bytes, old: Codes, mask: NDArray[np.bool_]) -> Codes:
    """The version that `data` takes `old` to; codes outside `mask` stay.

    Raises:
        CodecError: not a difference for so many scales and codes, or one
            that leaves int32, or gives a scale that is not positive and finite.
    """
    n = int(np.count_nonzero(mask))
    if data[:1] == bytes([CODED]):
        scales, at = _new_scales(old.scales, data[1:])
        difference = read_differences(data[1 + at :], n).astype(np.int64)
        return Codes(_new_codes(old.codes, mask, difference), scales)
    body = unpack(data, LEB_BYTES * (1 + old.scales.size + n) + 4 * old.scales.size, "difference")
    scales, at = _new_scales(old.scales, body)
    zigzag, at = numbers(body, at, n, "difference")
    if at != len(body):
        raise CodecError("difference", f"{len(body) - at} bytes after the codes", "none")
    return Codes(_new_codes(old.codes, mask, (zigzag >> 1) ^ -(zigzag & 1)), scales)


def _changed_scales(old: NDArray[np.float32], new: NDArray[np.float32]) -> bytes:
    changed = np.flatnonzero(old.view(np.uint32) != new.view(np.uint32))
    if not changed.size:
        return b"\0"
    gaps = np.diff(changed, prepend=-1) - 1
    head = [leb128(np.array([changed.size]))]
    for gap, scale in zip(gaps, new[changed].astype("<f4"), strict=True):
        head += [leb128(np.array([gap])), scale.tobytes()]
    return b"".join(head)


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
    (changed,), at = numbers(body, 0, 1, "difference")
    if changed > old.size:
        raise CodecError("difference", f"{changed} changed scales", f"at most {old.size}")
    index = -1
    for _ in range(changed):
        (gap,), at = numbers(body, at, 1, "difference")
        index += int(gap) + 1
        if index >= old.size or len(body) < at + 4:
            found = f"scale {index} at byte {at} of {len(body)}"
            raise CodecError("difference", found, f"scales 0 to {old.size - 1}, four bytes each")
        scales[index] = np.frombuffer(body, "<f4", count=1, offset=at)[0]
        at += 4
        if not (np.isfinite(scales[index]) and scales[index] > 0):
            raise CodecError("difference", f"scale {scales[index]}", "a positive finite float")
    return scales, at
