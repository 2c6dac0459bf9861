"""What an aggregator computes of every update: firmware/core/host/sums.h is the contract."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_float, c_int32, c_size_t
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.library import address_of, library

F32 = NDArray[np.float32]


@cache
def _functions() -> ctypes.CDLL:
    """The library with the signatures of the sums declared."""
    core = library()
    core.mf_within.argtypes = (c_size_t, c_int32, c_float)
    core.mf_add_rounded.argtypes = (c_size_t, c_double, c_size_t, c_int32)
    core.mf_add_rounded.restype = None
    return core


def within(values: F32, limit: float) -> bool:
    """Whether each of the values (n,) is finite and at most `limit` ≥ 0 in size."""
    whole = np.ascontiguousarray(values, np.float32)
    return bool(_functions().mf_within(address_of(whole), whole.size, limit))


def add_rounded(total: NDArray[np.int64], values: F32, factor: float) -> None:
    """Add factor · values (n,) to total (n,), each product rounded to an integer, half to even.

    The product is that of doubles: exact for a factor of at most 29 significant bits.
    total: made by the caller as one whole.  No product or total may reach 2^63 in size.
    """
    assert total.shape == values.shape
    assert total.dtype == np.int64
    whole = np.ascontiguousarray(values, np.float32)
    _functions().mf_add_rounded(address_of(whole), factor, address_of(total), total.size)
