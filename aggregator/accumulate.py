"""The sum of a round's updates: exact integers, so that arrival order cannot change a bit.

Each update is taken as round(samples · delta · 2^F) in int64 and integers are
added, which is associative and commutative; floats are not.  Memory is one
int64 per parameter however many devices answer.

Overflow cannot happen: |delta| ≤ 2^6 of a `Plausible` update, samples ≤ 2^20 by the
message definition, and a device is added at most once in a round, so the sum
of a cohort of at most 2^c devices stays within 2^(6+20+c+F) and
F = min(30, 62 - 26 - c) keeps that at or below 2^62.  A cohort of up to 64
devices gets F = 30, one of 1,024 F = 26: the mean is then still rounded at
2^-27 / (mean samples), far below half a step of any int8 weight.
"""

from __future__ import annotations

from typing import NewType

import numpy as np
from numpy.typing import NDArray

from core.library import present
from core.sums import add_rounded, within

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Plausible = NewType("Plausible", F32)  # an update that `plausible` has let pass

LIMIT = 64.0  # largest |delta| of honest training
MOST_SAMPLES = 2**20


class OutOfRangeError(ValueError):
    """An update holds a value that no honest training gives: not finite, or above LIMIT."""


class Accumulator:
    """The weighted sum of at most `cohort` updates of `size` values each.

    >>> total = Accumulator(size=2, cohort=2)
    >>> total.add(plausible(np.float32([1.0, 0.0])), samples=1)
    >>> total.add(plausible(np.float32([0.0, 1.0])), samples=3)
    >>> total.mean()
    array([0.25, 0.75])
    """

    def __init__(self, size: int, cohort: int) -> None:
        self.count = 0
        self.samples = 0
        self._cohort = cohort
        self._bits = min(30, 62 - 26 - max(cohort - 1, 0).bit_length())
        self._total = np.zeros(size, np.int64)

    def add(self, delta: Plausible, samples: int) -> None:
        """Add one device's update, weighted by its samples."""
        assert delta.shape == self._total.shape
        assert 1 <= samples <= MOST_SAMPLES
        assert self.count < self._cohort, "the round machine lets each member in once"
        add = add_rounded if present() else _add_rounded
        add(self._total, delta, samples * 2.0**self._bits)
        self.count += 1
        self.samples += samples

    def mean(self) -> F64:
        """The mean update, weighted by samples; needs at least one update."""
        assert self.samples > 0
        return self._total / (self.samples * 2.0**self._bits)


def plausible(delta: F32) -> Plausible:
    """The same update; OutOfRangeError for values that are not finite or above LIMIT in size."""
    if not (within if present() else _within)(delta, LIMIT):
        worst = delta[~(np.abs(delta) <= LIMIT)][0]
        raise OutOfRangeError(
            f"update holds {worst}; values from -{LIMIT:g} to {LIMIT:g} are allowed"
        )
    return Plausible(delta)


def _add_rounded(total: NDArray[np.int64], values: F32, factor: float) -> None:
    """What core.sums does, without the core."""
    # Exact: 24 bits times at most 21.
    scaled = np.multiply(values, factor, dtype=np.float64)
    np.rint(scaled, out=scaled)
    total += scaled.astype(np.int64)


def _within(values: F32, limit: float) -> bool:
    """What core.sums does, without the core."""
    # Written so that NaN fails: every comparison with it is false.
    return not values.size or bool(values.max() <= limit and values.min() >= -limit)
