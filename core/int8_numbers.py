"""The constants of int8 kernels, computed once: multipliers, activation bounds, tables.

Every number here is what TensorFlow Lite Micro prepares at run time, with the
same roundings, so that the kernels of firmware/core/src/int8 give its bytes.
Fixed-point numbers follow gemmlowp: 32 bits, of which some are integer bits,
"Q5" having five.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = -128, 127  # codes
_Q31 = 1 << 31


def round_away(x: float) -> int:
    """The nearest integer, half away from zero."""
    return floor(x + 0.5) if x >= 0 else -floor(-x + 0.5)


def multiplier_of(real: float) -> tuple[int, int]:
    """(multiplier, shift) so that multiplier · 2^(shift − 31) is nearest to `real` ≥ 0.

    The multiplier has 31 bits; both are 0 where `real` is too small to move any code.
    Raises ValueError where no shift is large enough.
    """
    if real == 0:
        return 0, 0
    fraction, shift = frexp(real)
    multiplier = round_away(fraction * _Q31)
    if multiplier == _Q31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise ValueError(f"the scales of input and output differ by {real:.3g}, more than 2^30")
    return multiplier, shift


def bounds_of(activation: str, scale: np.float32, zero_point: int) -> tuple[int, int]:
    """The least and the largest code that a fused activation lets through.

    Raises ValueError for an activation that no kernel has.
    """
    bounds = {"NONE": (None, None), "RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}
    if activation not in bounds:
        raise ValueError(f"fused activation {activation}: allowed are {', '.join(bounds)}")
    low, high = (
        None if b is None else zero_point + round_away(float(np.float32(b) / scale))
        for b in bounds[activation]
    )
    least = LEAST if low is None else max(LEAST, low)
    most = MOST if high is None else min(MOST, high)
    return least, max(least, most)


def input_radius(integer_bits: int, shift: int) -> int:
    """Differences of codes up to this fit `integer_bits` integer bits after 2^shift."""
    return floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits - shift))


def logistic_table(scale: np.float32, zero_point: int) -> NDArray[np.int8]:
    """LOGISTIC of every code, −128 first, at an output scale of 1/256 and zero point −128."""

    def code(q4: int) -> int:
        return _divide_by_power(_logistic(q4), 31 - 8) + LEAST

    return _table(scale, zero_point, code, (LEAST, MOST))


def tanh_table(scale: np.float32, zero_point: int) -> NDArray[np.int8]:
    """TANH of every code, −128 first, at an output scale of 1/128 and zero point 0."""
    return _table(scale, zero_point, lambda q4: _divide_by_power(_tanh(q4), 31 - 7), (LEAST, MOST))


def _table(
    scale: np.float32, zero_point: int, code_of: Callable[[int], int], ends: tuple[int, int]
) -> NDArray[np.int8]:
    """code_of each code in Q4; beyond what Q4 holds, the two ends."""
    real = float(scale) * 2.0 ** (31 - 4)
    multiplier, shift = (0, 31) if real >= 2**30 else multiplier_of(real)
    radius = input_radius(4, shift)  # 0 where a single code is beyond
    table = np.empty(256, np.int8)
    for code in range(LEAST, MOST + 1):
        x = code - zero_point
        beyond = abs(x) >= radius
        value = ends[x > 0] if beyond else code_of(rescale(x, multiplier, shift))
        table[code - LEAST] = min(max(value, LEAST), MOST)
    return table


def _high_product(a: int, b: int) -> int:
    """The product a·b / 2^31, half up."""
    return (a * b + (1 << 30)) >> 31


def _divide_by_power(x: int, bits: int) -> int:
    """The quotient x / 2^bits, half away from zero."""
    half = (1 << bits) >> 1
    return (x + half) >> bits if x >= 0 else -((-x + half) >> bits)


def rescale(x: int, multiplier: int, shift: int) -> int:
    """The product x · multiplier · 2^(shift − 31), rounded twice."""
    return _divide_by_power(_high_product(x << max(shift, 0), multiplier), max(-shift, 0))


def _saturated(x: int) -> int:
    return min(max(x, -_Q31), _Q31 - 1)


def _exp(x: int, fraction: int) -> int:
    """e^x in Q0 for x ≤ 0 with `fraction` fractional bits.

    A Taylor series around −1/8 for the last quarter, then a factor e^(−2^k) for each bit above.
    """
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    if x == 0:
        return _Q31 - 1
    quarter = 1 << (fraction - 2)
    last = (x & (quarter - 1)) - quarter
    y = (last << (31 - fraction)) + (1 << 28)
    y2 = _high_product(y, y)
    y3 = _high_product(y2, y)
    y4 = _high_product(y2, y2)
    tail = _high_product(_divide_by_power(y4, 2) + y3, 715827883) + y2
    result = 1895147668 + _high_product(1895147668, y + _divide_by_power(tail, 1))
    for k in range(min(len(factors), 33 - fraction)):
        if (last - x) & (quarter << k):
            result = _high_product(result, factors[k])
    return result


def _half_reciprocal(x: int) -> tuple[int, int]:
    """For x in Q0, 0 ≤ x ≤ 1: (1 + x)/2 in Q0 and 2/(1 + x) in Q2, by Newton's steps."""
    half = (x + _Q31) // 2
    result = 1515870810 + _high_product(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - _high_product(half, result)
        result += _saturated(_high_product(result, error) << 2)
    return half, result


def _logistic(x: int) -> int:
    """1 / (1 + e^(−x)) in Q0, x in Q4."""
    if x == 0:
        return 1 << 30
    positive = _saturated(_half_reciprocal(_exp(-abs(x), 27))[1] << 1)
    return positive if x > 0 else _Q31 - 1 - positive


def _tanh(x: int) -> int:
    """(1 − e^(−2x)) / (1 + e^(−2x)) in Q0, x in Q4."""
    if x == 0:
        return 0
    # −2|x| in Q5 has the digits of −|x| in Q4
    result = _half_reciprocal(_exp(-abs(x), 26))[1] - (1 << 29)
    positive = _saturated(result << 2)
    return positive if x > 0 else -positive
