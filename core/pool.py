"""Trainings on threads of the core's own: firmware/core/host/pool.h is the contract.

A Python thread that trains needs Python's lock before and after each training, and waits for
it longer than a short one lasts.  These threads never need it.
"""

from __future__ import annotations

import ctypes
from ctypes import Array, Structure, c_char, c_double, c_float, c_int32, c_size_t, c_uint32
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.library import address_of
from core.train import F32, Plan, Recipe, Samples, functions

T = TypeVar("T")


class Lesson(Structure):
    """mf_lesson: what the trainings of a cohort have in common; pointers as addresses."""

    _fields_ = (
        ("plan", c_size_t),
        ("recipe", c_size_t),
        ("received", c_size_t),
        ("mask", c_size_t),
        ("chosen", c_size_t),
        ("parameters", c_int32),
        ("budget", c_int32),
    )

    held: tuple[Any, ...]  # what they point to
    room: type[Array[c_char]]  # for the result of one

    @classmethod
    def of(cls, plan: Plan, recipe: Recipe, received: F32, mask: NDArray[np.uint8]) -> Lesson:
        """What Plan.train does with the same arguments."""
        lesson = cls(plan.address, ctypes.addressof(recipe), address_of(received), address_of(mask))
        lesson.held = plan, recipe, received, mask
        lesson.parameters = received.size
        lesson.room = c_char * received.nbytes
        return lesson

    def code(self, chosen: NDArray[np.bool_], budget: int) -> None:
        """Give what changes of the chosen parameters, coded as mf_encode_peaks does, alone."""
        self.held += (chosen,)
        self.chosen = address_of(chosen)
        self.budget = budget
        self.room = c_char * budget

    def training(self, samples: Samples, seed: int) -> Training:
        """One device's; `samples` is of `samples_of`."""
        room = self.room()
        training = Training(ctypes.addressof(self), samples, ctypes.addressof(room), seed)
        training.held = self, samples, room
        return training


def samples_of(x: F32, y: NDArray[np.int32]) -> Samples:
    """Samples and their classes, both contiguous, as the core takes them."""
    samples = Samples(address_of(x), address_of(y), len(x))
    samples.held = x, y
    return samples


class Training(Structure):
    """mf_training; pointers as addresses."""

    _fields_ = (
        ("lesson", c_size_t),
        ("samples", Samples),
        ("result", c_size_t),
        ("seed", c_uint32),
        ("size", c_int32),
        ("losses", c_float * 2),
        ("status", c_int32),
        ("seconds", c_double),
        ("next", c_size_t),
    )

    held: tuple[Lesson, Samples, Array[c_char]]  # what they point to

    @property
    def weights(self) -> F32:
        """The trained weights, once it is done, unless they are coded."""
        return np.frombuffer(memoryview(self.held[2]), np.float32)

    @property
    def update(self) -> bytes:
        """The update, once it is done; nothing if it was not to be coded, or could not be."""
        return ctypes.string_at(self.result, self.size)


@cache
def _functions() -> ctypes.CDLL:
    core = functions()
    ours = [ctypes.sizeof(Lesson), ctypes.sizeof(Training)]
    theirs = list((c_uint32 * 2).in_dll(core, "mf_pool_sizes"))
    if ours != theirs:
        raise RuntimeError(f"the core was compiled from other sources: structs {theirs}, {ours}")
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
