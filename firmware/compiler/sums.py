"""ADD and SUB as one weighted sum, where that gives the same codes for all pairs of codes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import Scale, Sum
from firmware.compiler.rounding import rescaled

DROP = 21  # MF_SUM_DROP
FINER = 20  # bits that inputs gain before they are scaled, as in firmware/core/src/int8/add.c
TRIALS = range(-4, 5)  # multipliers beside the nearest

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WeightedSum:
    """a · multiplier[0] + b · multiplier[1] + bias >> DROP, cut to least … most."""

    multiplier: tuple[int, int]
    bias: int
    least: int
    most: int


def weighted_sum(p: Sum) -> WeightedSum | None:
    """The weighted sum that gives every pair of codes what `p` gives it; None if none does."""
    codes = np.arange(-128, 128)
    a, b = (_scaled(codes - p.zero[k], p.input_scale[k]) for k in (0, 1))
    total = a[:, None] + p.sign * b[None, :]
    wanted = _scaled_by(total, p.scale) + p.range.zero_point
    wanted = wanted.clip(p.range.least, p.range.most)
    low = np.where(wanted == p.range.least, -(2**40), wanted << DROP)
    high = np.where(wanted == p.range.most, 2**40, ((wanted + 1) << DROP) - 1)
    whole = _real(p.scale) * 2.0 ** (FINER + DROP)
    nearest = (
        round(whole * _real(p.input_scale[0])),
        round(whole * _real(p.input_scale[1])) * p.sign,
    )
    for distance in sorted(product(TRIALS, TRIALS), key=lambda d: abs(d[0]) + abs(d[1])):
        m = nearest[0] + distance[0], nearest[1] + distance[1]
        value = codes[:, None] * m[0] + codes[None, :] * m[1]
        least, most = int((low - value).max()), int((high - value).min())
        bias = (least + most) >> 1
        if least <= most and np.abs(value).max() + abs(bias) < 2**31:
            return WeightedSum(m, bias, p.range.least, p.range.most)
    return None


def _real(scale: Scale) -> float:
    return float(scale.multiplier * 2.0 ** (scale.shift - 31))


def _scaled(codes: Ints, scale: Scale) -> Ints:
    return _scaled_by(codes << FINER, scale)


def _scaled_by(values: Ints, scale: Scale) -> Ints:
    return rescaled(values, np.int64(scale.multiplier), np.int64(scale.shift))  # type: ignore[arg-type]
