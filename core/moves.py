"""Moves of codes in the compiled core: firmware/core/host/moves.h is the contract."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_int64, c_size_t
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.codec import OK, CodedError
from core.library import address_of, library
from core.train import Status

BOOL = NDArray[np.bool_]
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

RARE = 4096  # MF_RARE
_BYTES = 5  # MF_MOVE_BYTES


class Found(Structure):
    """mf_moves."""

    _fields_ = (
        ("largest", c_int64),
        ("count", c_int32),
        ("moving", c_int32),
        ("kinds", c_int32),
    )


@cache
def _functions() -> ctypes.CDLL:
    """The library with the signatures of moves declared."""
    core = library()
    address, size, number = c_size_t, c_size_t, c_int32
    core.mf_find_moves.argtypes = (
        *(address, address, address, number),
        *(address, address, POINTER(Found)),
    )
    core.mf_write_moves.argtypes = (address, number, address)
    core.mf_write_moves.restype = c_size_t
    core.mf_read_moves.argtypes = (c_char_p, size, address, number, address)
    core.mf_add_moves.argtypes = (address, number, address, number, address)
    core.mf_carry_codes.argtypes = (
        *(address, address, number, address, address, number),
        *(address, POINTER(c_int32)),
    )
    return core


def find_moves(
    origin: I32 | None, codes: I32, mask: BOOL
) -> tuple[I64, NDArray[np.float64], Found]:
    """mf_find_moves: the moves, how often each magnitude occurs, and the rest.

    Raises CodedError.
    """
    n = codes.size
    moves, often, found = np.empty(n, np.int64), np.empty(RARE + 1), Found()
    before = None if origin is None else _whole(origin, np.int32, n)
    after, mask = _whole(codes, np.int32, n), _whole(mask, np.bool_, n)
    status = _functions().mf_find_moves(
        *(0 if before is None else address_of(before), address_of(after), address_of(mask), n),
        *(address_of(moves), address_of(often), byref(found)),
    )
    _check("mf_find_moves", status)
    return moves[: found.count], often[: found.kinds], found


def write_moves(moves: I64) -> bytes:
    """mf_write_moves: of moves (n,), each the difference of two int32."""
    moves = _whole(moves, np.int64, moves.size)
    data = np.empty(_BYTES * moves.size, np.uint8)
    size = _functions().mf_write_moves(address_of(moves), moves.size, address_of(data))
    return data[:size].tobytes()


def read_moves(data: bytes, codes: I32, mask: BOOL) -> I32:
    """mf_read_moves: `codes` after the moves.  Raises CodedError."""
    moved, mask = np.array(codes, np.int32), _whole(mask, np.bool_, codes.size)
    status = _functions().mf_read_moves(
        data, len(data), address_of(mask), moved.size, address_of(moved)
    )
    _check("mf_read_moves", status)
    return moved


def add_moves(moves: I32, codes: I32, mask: BOOL) -> I32:
    """mf_add_moves: `codes` after the moves.  Raises CodedError."""
    moved, mask = np.array(codes, np.int32), _whole(mask, np.bool_, codes.size)
    moves = _whole(moves, np.int32, moves.size)
    status = _functions().mf_add_moves(
        address_of(moves), moves.size, address_of(mask), moved.size, address_of(moved)
    )
    _check("mf_add_moves", status)
    return moved


def carry_codes(codes: I32, changed: BOOL, ratios: F32, channels: I32, mask: BOOL) -> I32 | None:
    """mf_carry_codes: the codes carried over; None where that is none of them.

    Raises CodedError.
    """
    carried, number, scales = np.array(codes, np.int32), c_int32(), ratios.size
    changed, ratios = _whole(changed, np.bool_, scales), _whole(ratios, np.float32, scales)
    channels, mask = _whole(channels, np.int32, codes.size), _whole(mask, np.bool_, codes.size)
    status = _functions().mf_carry_codes(
        *(address_of(changed), address_of(ratios), scales, address_of(channels)),
        *(address_of(mask), carried.size, address_of(carried), byref(number)),
    )
    _check("mf_carry_codes", status)
    return carried if number.value else None


def _whole(array: NDArray[Any], kind: type[np.generic], size: int) -> NDArray[Any]:
    """The array, itself if C can read it as it lies; it has to outlive what is told its address.

    Raises CodedError for one of another size, which C could not know.
    """
    if array.size != size:
        raise CodedError(f"{array.size} for {size} values", Status.BAD_ARGUMENT)
    return np.ascontiguousarray(array, kind)


def _check(call: str, status: int) -> None:
    if status != OK:
        raise CodedError(call, status)
