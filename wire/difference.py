"""From one model version to a later one: changed scales, and the differences of codes.

Both sides hold the old version and the mask, so only what changed is worth
bytes; and where a scale grew, its codes were going to shrink.  Where so much
has changed that the codes themselves are shorter, those are sent.
docs/protocol.md gives the layout.
"""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire.codecs.microfed import MOST, code_differences, read_differences
from wire.errors import CodecError
from wire.leb128 import BYTES as LEB_BYTES
from wire.leb128 import leb128_of, number
from wire.moves import Moves, add_moves, carry_codes, find_moves, read_moves, write_moves
from wire.packing import pack, unpack

# The share of codes that move up to which the coder of updates is the shorter way, and beyond
# which packed bytes are, in an eighth of the time: between 0.22 and 0.28 on softmax, har and
# fashion.
SPARSE = 0.25
OVERHEAD = 1.1  # what the coder takes of dense differences, for each bit by their frequencies
CODED, CARRIED, WHOLE = 2, 3, 4  # the first byte, beside the two of wire.packing


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
    check = zlib.crc32(np.ascontiguousarray(codes.codes, "<i4").data)
    return zlib.crc32(np.ascontiguousarray(codes.scales, "<f4").data, check)


def carried(old: Codes, scales: NDArray[np.float32], frame: Frame) -> NDArray[np.int32]:
    """The codes that `old` would have with other scales: what its values are nearest to.

    As carry_codes has it; `old.codes` itself where that is all the same.
    """
    changed = old.scales.view(np.uint32) != scales.view(np.uint32)
    if not changed.any():
        return old.codes
    with np.errstate(all="ignore"):
        ratios = old.scales / scales
    found = carry_codes(old.codes, changed, ratios, frame.channels, frame.mask)
    return old.codes if found is None else found


def encode_difference(old: Codes, new: Codes, frame: Frame) -> bytes:
    """What takes `old` to `new`, the shortest way or one hardly longer.

    Packed where a code moves by more than MOST.  Codes outside the mask must be the same in both.
    """
    moves = find_moves(old.codes, new.codes, frame.mask)
    scales = changed_scales(old.scales, new.scales)
    ways = [(CODED, moves), (WHOLE, find_moves(None, new.codes, frame.mask))]
    origin = carried(old, new.scales, frame)
    if origin is not old.codes:
        ways.insert(1, (CARRIED, find_moves(origin, new.codes, frame.mask)))
    far = moves.largest > MOST
    shortest = packed(scales, moves.values) if far or moves.share > SPARSE else b""
    for how, difference in ways:
        if difference.largest > MOST:
            continue
        if not shortest or _may_take_less(difference, len(shortest)):
            found = coded(how, scales, difference.values)
            if not shortest or len(found) < len(shortest):
                shortest = found
    return shortest


def _may_take_less(moves: Moves, size: int) -> bool:
    """Whether it is worth the time to code moves, if that is to take less than `size`."""
    if moves.share <= SPARSE:
        return True
    n, often = moves.values.size, moves.often
    bits = n * np.log2(n) - np.sum(often * np.log2(often)) + moves.moving  # those have a sign
    return bool(OVERHEAD * bits < 8 * size)


def packed(scales: bytes, difference: NDArray[np.int64]) -> bytes:
    """A difference in packed bytes: any code may move to any other."""
    return pack(scales + write_moves(difference))


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
    how, body = data[:1], data[1:]
    if how not in (bytes([CODED]), bytes([CARRIED]), bytes([WHOLE])):
        most = LEB_BYTES * (1 + old.scales.size + n) + 4 * old.scales.size
        scales, body = _new_scales(old.scales, unpack(data, most, "difference"))
        return Codes(read_moves(body, old.codes, frame.mask), scales)
    scales, body = _new_scales(old.scales, body)
    moves = read_differences(body, n)
    origin = old.codes
    if how == bytes([CARRIED]):
        origin = carried(old, scales, frame)
    elif how == bytes([WHOLE]):
        origin = np.where(frame.mask, np.int32(0), old.codes)
    return Codes(add_moves(moves, origin, frame.mask), scales)


def changed_scales(old: NDArray[np.float32], new: NDArray[np.float32]) -> bytes:
    """What a difference begins with: how many scales change, which, and to what."""
    changed = np.flatnonzero(old.view(np.uint32) != new.view(np.uint32)).tolist()
    head = [leb128_of(len(changed))]
    for before, index in pairwise([-1, *changed]):
        head += [leb128_of(index - before - 1), new[index].astype("<f4").tobytes()]
    return b"".join(head)


def _new_scales(old: NDArray[np.float32], body: bytes) -> tuple[NDArray[np.float32], bytes]:
    """The scales after the changes at the start of `body`, and what comes behind those."""
    scales = old.copy()
    changed, at = number(body, 0, "difference")
    if changed > old.size:
        raise CodecError("difference", f"{changed} changed scales", f"at most {old.size}")
    index = -1
    for _ in range(changed):
        gap, at = number(body, at, "difference")
        index += gap + 1
        if index >= old.size or len(body) < at + 4:
            found = f"scale {index} at byte {at} of {len(body)}"
            raise CodecError("difference", found, f"scales 0 to {old.size - 1}, four bytes each")
        scales[index] = np.frombuffer(body, "<f4", count=1, offset=at)[0]
        at += 4
        if not (np.isfinite(scales[index]) and scales[index] > 0):
            raise CodecError("difference", f"scale {scales[index]}", "a positive finite float")
    return scales, body[at:]
