"""How a layer's sums become codes: rounded twice, or once.

A code is the sum, bias included, times a scale, rounded.  TensorFlow Lite Micro rounds after
the product with a 31-bit multiplier and again after the shift.  LiteRT's reference kernels do
the same but for FULLY_CONNECTED, where they round once, half away from zero, the product with
the quotient of the three scales in double precision.  Codes are relative to the zero point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = 22  # shift to the right with which steps are computed

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = slice | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Twice:
    """multipliers · 2^(shifts − 31), (channels,) each, as mf_rescale rounds them."""

    multipliers: Ints
    shifts: Ints

    @property
    def scales(self) -> NDArray[np.float64]:
        """What sums are multiplied by, (channels,)."""
        return np.asarray(self.multipliers * 2.0 ** (self.shifts - 31))

    def of(self, rows: Rows) -> Twice:
        """The same of some channels."""
        return Twice(self.multipliers[rows], self.shifts[rows])

    def codes(self, sums: Ints) -> Ints:
        """The code of a sum of each channel."""
        return rescaled(sums, self.multipliers, self.shifts)

    def least_sums(self, codes: Ints) -> Ints:
        """The least sum that has at least each code: (channels, codes).

        Where the shift is beyond FARTHEST it is a sum that is too near, but out of reach.
        """
        multipliers, shifts = self.multipliers[:, None], self.shifts.clip(-FARTHEST)[:, None]
        left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
        half = (np.int64(1) << right) >> 1
        away = (codes <= 0) & (right > 0)  # exactly half: up if positive, down if negative
        product = (codes << right) - half + away
        return np.asarray(-((2**30 - (product << 31)) // (multipliers << left).clip(1)), np.int64)

    @property
    def too_near(self) -> Flags:
        """The channels of which `least_sums` is not exact."""
        return np.asarray(self.shifts < -FARTHEST, np.bool_)


@dataclass(frozen=True, eq=False)
class Once:
    """scales: (channels,), in double precision, as mf_int8_fully_connected_once rounds them."""

    scales: NDArray[np.float64]

    def of(self, rows: Rows) -> Once:
        """The same of some channels."""
        return Once(self.scales[rows])

    def codes(self, sums: Ints) -> Ints:
        """The code of a sum of each channel."""
        product = sums * self.scales
        whole = np.trunc(product)
        rest = product - whole
        return np.asarray(whole + (rest >= 0.5) - (rest <= -0.5), np.int64)

    def least_sums(self, codes: Ints) -> Ints:
        """The least sum that has at least each code: (channels, codes)."""
        scales = self.scales[:, None]
        edge = codes - 0.5
        near = np.floor(edge / scales).clip(-(2.0**40), 2.0**40).astype(np.int64)
        tried = near[..., None] + np.arange(-2, 4)
        product = tried * scales[..., None]
        # exactly half: up if positive, down if negative
        there = np.where(codes[:, None] > 0, product >= edge[:, None], product > edge[:, None])
        return np.asarray(near - 2 + there.argmax(axis=2), np.int64)

    @property
    def too_near(self) -> Flags:
        """The channels of which `least_sums` is not exact."""
        return np.zeros(self.scales.size, np.bool_)


Rounding = Twice | Once


def rescaled(sums: Ints, multipliers: Ints, shifts: Ints) -> Ints:
    """What mf_rescale gives: sums · multipliers · 2^(shifts − 31), rounded twice."""
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    product = ((sums << left) * multipliers + 2**30) >> 31
    half = (np.int64(1) << right) >> 1
    away = ((product < 0) & (right > 0)).astype(np.int64)
    return np.asarray((product + half - away) >> right, np.int64)
