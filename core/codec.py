"""The compiled codec: firmware/core/include/microfed/codec.h is the contract."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_float, c_int32, c_size_t, c_uint32
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.library import address_of, library
from core.train import Status

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

OK = 0  # of mf_status; core.train.Status has the others


class CodedError(ValueError):
    """A call of the codec ended with another status than OK."""

    def __init__(self, call: str, status: int) -> None:
        super().__init__(f"{call}: {Status(status).name}")
        self.status = status


@cache
def _functions() -> ctypes.CDLL:
    """The library with the signatures of the codec declared."""
    core = library()
    address, size = c_size_t, ctypes.POINTER(c_int32)
    core.mf_encode_update.argtypes = (address, address, c_int32, c_int32, address, size)
    core.mf_decode_update.argtypes = (c_char_p, c_int32, address, c_int32, c_float, address)
    core.mf_encode_codes.argtypes = (address, address, c_int32, c_int32, address, size)
    core.mf_decode_codes.argtypes = (c_char_p, c_int32, address, c_int32, address)
    core.mf_encode_numbers.argtypes = (
        *(address, address, c_char_p, c_int32, c_int32),
        *(address, size),
    )
    core.mf_decode_numbers.argtypes = (c_char_p, c_int32, address, c_char_p, c_int32, address)
    core.mf_encode_peaks.argtypes = (address, c_int32, c_uint32, c_int32, address, size)
    core.mf_decode_peaks.argtypes = (c_char_p, c_int32, c_int32, address)
    return core


@cache
def _bounds(bounds: tuple[int, ...]) -> tuple[I32, int, int]:
    """The bounds as the core takes them, their address, and the number of runs."""
    array = np.array(bounds, np.int32)
    return array, array.ctypes.data, len(bounds) - 1


def encode_update(delta: F32, bounds: tuple[int, ...], budget: int) -> bytes:
    """mf_encode_update: at most `budget` bytes.  Raises CodedError."""
    _, at, runs = _bounds(bounds)
    delta = np.ascontiguousarray(delta, np.float32)
    data = np.empty(budget, np.uint8)
    size = c_int32()
    status = _functions().mf_encode_update(
        delta.ctypes.data, at, runs, budget, address_of(data), byref(size)
    )
    return _written("mf_encode_update", status, data, size)


def decode_update(data: bytes, bounds: tuple[int, ...]) -> F32:
    """mf_decode_update: the values (n,).  Raises CodedError."""
    _, at, runs = _bounds(bounds)
    values = np.zeros(bounds[-1], np.float32)
    status = _functions().mf_decode_update(data, len(data), at, runs, 1.0, address_of(values))
    if status != OK:
        raise CodedError("mf_decode_update", status)
    return values


def encode_peaks(delta: F32, budget: int, seed: int) -> bytes:
    """mf_encode_peaks: at most `budget` bytes.  Raises CodedError."""
    turned = np.array(delta, np.float32)  # a copy: it is worked on in place
    data = np.empty(budget, np.uint8)
    size = c_int32()
    status = _functions().mf_encode_peaks(
        address_of(turned), turned.size, seed, budget, address_of(data), byref(size)
    )
    return _written("mf_encode_peaks", status, data, size)


def decode_peaks(data: bytes, n: int) -> F32:
    """mf_decode_peaks: the values (n,).  Raises CodedError."""
    values = np.empty(n, np.float32)
    status = _functions().mf_decode_peaks(data, len(data), n, address_of(values))
    if status != OK:
        raise CodedError("mf_decode_peaks", status)
    return values


def encode_codes(differences: I32, bounds: tuple[int, ...], capacity: int) -> bytes:
    """mf_encode_codes; CodedError if it takes more than `capacity` bytes."""
    _, at, runs = _bounds(bounds)
    data = np.empty(capacity, np.uint8)
    size = c_int32()
    status = _functions().mf_encode_codes(
        differences.ctypes.data, at, runs, capacity, address_of(data), byref(size)
    )
    return _written("mf_encode_codes", status, data, size)


def decode_codes(data: bytes, bounds: tuple[int, ...]) -> I32:
    """mf_decode_codes: the differences (n,).  Raises CodedError."""
    _, at, runs = _bounds(bounds)
    codes = np.zeros(bounds[-1], np.int32)
    status = _functions().mf_decode_codes(data, len(data), at, runs, address_of(codes))
    if status != OK:
        raise CodedError("mf_decode_codes", status)
    return codes


def encode_numbers(numbers: I32, bounds: tuple[int, ...], wide: bytes, capacity: int) -> bytes:
    """mf_encode_numbers; CodedError if they take more than `capacity` bytes."""
    _, at, runs = _bounds(bounds)
    data = np.empty(capacity, np.uint8)
    size = c_int32()
    status = _functions().mf_encode_numbers(
        numbers.ctypes.data, at, wide, runs, capacity, address_of(data), byref(size)
    )
    return _written("mf_encode_numbers", status, data, size)


def decode_numbers(data: bytes, bounds: tuple[int, ...], wide: bytes) -> I32:
    """mf_decode_numbers: the numbers (n,).  Raises CodedError."""
    _, at, runs = _bounds(bounds)
    numbers = np.zeros(bounds[-1], np.int32)
    status = _functions().mf_decode_numbers(data, len(data), at, wide, runs, address_of(numbers))
    if status != OK:
        raise CodedError("mf_decode_numbers", status)
    return numbers


def _written(call: str, status: int, data: NDArray[np.uint8], size: c_int32) -> bytes:
    if status != OK:
        raise CodedError(call, status)
    return data[: size.value].tobytes()
