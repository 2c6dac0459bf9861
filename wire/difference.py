"""From one model version to a later one: changed scales, and the differences of codes.

Both sides hold the old version and the mask, so only what changed is worth
bytes; and where a scale grew, its codes were going to shrink.  Where so much
has changed that the codes themselves are shorter, those are sent.
docs/protocol.md gives the layout.
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

# The share of codes that move up to which the coder of updates is the shorter way, and beyond
# which packed bytes are, in an eighth of the time: between 0.22 and 0.28 on softmax, har and
# fashion.
SPARSE = 0.25
OVERHEAD = 1.1  # what the coder takes of dense differences, for each bit by their frequencies
RARE = 1 << 12  # larger ones count as one
CODED, CARRIED, WHOLE = 2, 3, 4  # the first byte, beside the two of wire.packing
_INT32 = np.iinfo(np.int32)


class Codes(NamedTuple):
    """One model version: codes int32 (size,), one per parameter; scales float32 (scales,)."""

    codes: NDArray[np.int32]
    scales: NDArray[np.float32]


class Frame(NamedTuple):
    """What both sides know of a base file's parameters."""

    mask: NDArray[np.bool_]  # (size,): False where a parameter is pruned, and stays 0
    channels: NDArray[np.int32]  # (size,): which scale each has


def check_of(codes: Codes) -> int:
    """What tells one version from another of the same number: CRC-32 of codes and scales."""
    return zlib.crc32(codes.codes.astype("<i4").tobytes() + codes.scales.astype("<f4").tobytes())


def carried(old: Codes, scales: NDArray[np.float32], frame: Frame) -> NDArray[np.int32]:
    """The codes that `old` would have with other scales: what its values are nearest to.

    In float32, each operation rounded once, so a device finds the same; a code that would
    be MOST or beyond becomes 0.
    """
    other = old.scales.view(np.uint32) != scales.view(np.uint32)
    if not other.any():
        return old.codes
    changed = other[frame.channels] & frame.mask
    if not changed.any():
        return old.codes
    with np.errstate(all="ignore"):  # what overflows becomes 0 below
        ratio = (old.scales / scales)[frame.channels]
        moved = np.rint(old.codes.astype(np.float32) * ratio)
        moved = np.where(np.abs(moved) < MOST, moved, np.float32(0)).astype(np.int32)
    return np.where(changed, moved, old.codes)


def encode_difference(old: Codes, new: Codes, frame: Frame) -> bytes:
    """What takes `old` to `new`, the shortest way or one hardly longer.

    Packed where a code moves by more than MOST.  Codes outside the mask must be the same in both.
    """
    mask, moved = frame.mask, new.codes.astype(np.int64) - old.codes
    assert not moved[~mask].any(), "a masked code has changed"
    scales, codes, moves = changed_scales(old.scales, new.scales), new.codes[mask], moved[mask]
    ways = [(CODED, moves), (WHOLE, codes.astype(np.int64))]
    origin = carried(old, new.scales, frame)
    if origin is not old.codes:
        ways.insert(1, (CARRIED, codes - origin[mask].astype(np.int64)))
    far = np.abs(moves).max(initial=0) > MOST
    shortest = packed(scales, moves) if far or _share(moves) > SPARSE else b""
    for how, difference in ways:
        if np.abs(difference).max(initial=0) > MOST:
            continue
        if not shortest or _may_take_less(difference, len(shortest)):
            found = coded(how, scales, difference)
            if not shortest or len(found) < len(shortest):
                shortest = found
    return shortest


def _may_take_less(difference: NDArray[np.int64], size: int) -> bool:
    """Whether it is worth the time to code a difference, if that is to take less than `size`."""
    if _share(difference) <= SPARSE:
        return True
    often = np.bincount(np.minimum(np.abs(difference), RARE)).astype(np.float64)
    often = often[often > 0]
    bits = difference.size * np.log2(difference.size) - np.sum(often * np.log2(often))
    bits += np.count_nonzero(difference)  # their signs
    return bool(OVERHEAD * bits < 8 * size)


def _share(difference: NDArray[np.int64]) -> float:
    return np.count_nonzero(difference) / max(difference.size, 1)


def packed(scales: bytes, difference: NDArray[np.int64]) -> bytes:
    """A difference in packed bytes: any code may move to any other."""
    return pack(scales + leb128((difference << 1) ^ (difference >> 63)))


def coded(how: int, scales: bytes, difference: NDArray[np.int64]) -> bytes:
    """A difference by the coder of updates: no code may move by more than MOST."""
    return bytes([how]) + scales + code_differences(difference.astype(np.int32))


def apply_difference(data: bytes, old: Codes, frame: Frame) -> Codes:
    """The version that `data` takes `old` to; codes outside the mask stay.

    Raises:
        CodecError: not a difference for so many scales and codes, or one
            that leaves int32, or gives a scale that is not positive and finite.
    """
    n = int(np.count_nonzero(frame.mask))
    if data[:1] in (bytes([CODED]), bytes([CARRIED]), bytes([WHOLE])):
        scales, at = _new_scales(old.scales, data[1:])
        difference = read_differences(data[1 + at :], n).astype(np.int64)
        origin = old.codes
        if data[0] == CARRIED:
            origin = carried(old, scales, frame)
        elif data[0] == WHOLE:
            origin = np.where(frame.mask, np.int32(0), old.codes)
        return Codes(_new_codes(origin, frame.mask, difference), scales)
    body = unpack(data, LEB_BYTES * (1 + old.scales.size + n) + 4 * old.scales.size, "difference")
    scales, at = _new_scales(old.scales, body)
    zigzag, at = numbers(body, at, n, "difference")
    if at != len(body):
        raise CodecError("difference", f"{len(body) - at} bytes after the codes", "none")
    return Codes(_new_codes(old.codes, frame.mask, (zigzag >> 1) ^ -(zigzag & 1)), scales)


def changed_scales(old: NDArray[np.float32], new: NDArray[np.float32]) -> bytes:
    """What a difference begins with: how many scales change, which, and to what."""
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
