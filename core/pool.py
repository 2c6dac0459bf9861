"""Trainings on threads of the core's own: firmware/core/host/pool.h is the contract.

A Python thread that trains needs Python's lock before and after each training, and waits for
it longer than a short one lasts.  These threads never need it.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_double, c_float, c_int32, c_size_t, c_uint32
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.library import address_of
from core.train import F32, Plan, Recipe, Samples, functions

T = TypeVar("T")


class Fitting:
    """Samples x, float32, and classes y, int32, whole and found to fit, as the core takes them."""

    def __init__(self, x: F32, y: NDArray[np.int32]) -> None:
        self.samples = Samples(x.ctypes.data, y.ctypes.data, len(x))
        self._held = x, y


class _Coding(Structure):
    _fields_ = (
        ("chosen", c_size_t),
        ("parameters", c_int32),
        ("budget", c_int32),
        ("delta", c_size_t),
        ("data", c_size_t),
        ("size", c_int32),
    )


class Training(Structure):
    """mf_training; pointers as addresses.  `held` keeps alive what they point to."""

    _fields_ = (
        ("plan", c_size_t),
        ("recipe", c_size_t),
        ("samples", Samples),
        ("received", c_size_t),
        ("mask", c_size_t),
        ("weights", c_size_t),
        ("losses", c_float * 2),
        ("coding", _Coding),
        ("seed", c_uint32),
        ("status", c_int32),
        ("seconds", c_double),
        ("next", c_size_t),
    )

    held: tuple[Any, ...]
    result: F32  # the trained weights, once it is done
    update: NDArray[np.uint8] | None = None  # room for them coded

    @classmethod
    def of(
        cls,
        plan: Plan,
        recipe: Recipe,
        fitting: Fitting,
        seed: int,
        received: F32,
        mask: NDArray[np.uint8],
    ) -> Training:
        """What Plan.train does with the same arguments."""
        result = np.empty_like(received)
        training = cls(
            plan.address,
            ctypes.addressof(recipe),
            fitting.samples,
            received.ctypes.data,
            mask.ctypes.data,
            address_of(result),
            seed=seed,
        )
        training.held = plan, recipe, fitting, received, mask
        training.result = result
        return training

    def code(self, chosen: NDArray[np.bool_], count: int, budget: int) -> None:
        """Have what changes of the `count` chosen parameters coded as mf_encode_peaks does."""
        delta = np.empty(count, np.float32)
        self.update = np.empty(budget, np.uint8)
        self.coding = _Coding(
            *(chosen.ctypes.data, len(chosen), budget, address_of(delta), address_of(self.update))
        )
        self.held += chosen, delta

    @property
    def coded(self) -> bytes:
        """The update, once it is done; nothing if it was not to be coded, or could not be."""
        return b"" if self.update is None else self.update[: self.coding.size].tobytes()


@cache
def _functions() -> ctypes.CDLL:
    core = functions()
    theirs = c_uint32.in_dll(core, "mf_training_size").value
    if theirs != ctypes.sizeof(Training):
        raise RuntimeError(f"the core was compiled from other sources: mf_training has {theirs} B")
    core.mf_pool_open.restype = c_size_t
    core.mf_pool_give.argtypes = (c_size_t, c_size_t)
    core.mf_pool_give.restype = None
    core.mf_pool_take.argtypes = (c_size_t,)
    core.mf_pool_take.restype = c_size_t
    core.mf_pool_close.argtypes = (c_size_t,)
    core.mf_pool_close.restype = None
    return core


class Pool(Generic[T]):
    """Threads that train; one caller gives and takes.  T is what it has a training for."""

    def __init__(self, threads: int) -> None:
        """Raise OSError where the system has no thread to give."""
        self._core = _functions()
        self._at = self._core.mf_pool_open(threads)
        if not self._at:
            raise OSError(f"{threads} threads for training: the system gives none")
        self._given: dict[int, tuple[Training, T]] = {}  # by address

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._given)

    def give(self, training: Training, purpose: T) -> None:
        """Have it trained after those that were given before."""
        assert self._at, "the pool is closed"
        at = ctypes.addressof(training)
        self._given[at] = training, purpose
        self._core.mf_pool_give(self._at, at)

    def take(self) -> tuple[Training, T]:
        """Wait for one that is done; some must be under way."""
        assert self._given, "none is under way"
        return self._given.pop(self._core.mf_pool_take(self._at))

    def close(self) -> None:
        """End the threads after what they are doing; the rest is forgotten."""
        if self._at:
            self._core.mf_pool_close(self._at)
            self._at = 0
            self._given.clear()
