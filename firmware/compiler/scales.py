"""One multiplication for a change of scale, and yet the codes of rounding.py.

However it is rounded, as a function of the sum the code is a staircase of at most 255 steps.
Here the place of each step is computed exactly, and for each channel a line

    code = ((sum << lift) + bias) · multiplier >> 32 + drop

is sought that passes through all of them: between the last sum of one code and the first sum
of the next it may run anywhere.  Rounding half away from zero moves the steps up to the zero
point against those above it.  A layer that shows nothing below its zero
point (ReLU) has a straight line.  The line of any other is bent: `kink` is taken off where
(sum << lift) + bias is negative, and zero point and rounding are added later:

    code = zero_point + ((x · multiplier >> 32) + 2^(drop − 1) >> drop)

A layer where some channel has no such line keeps the computation that rounding.py describes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.int8_calls import Range
from core.int8_numbers import LEAST
from firmware.compiler.rounding import Flags, Ints, Rounding

LARGEST = 2.0**22  # scale
LEVEL = 1 << 22  # the multiplier of a channel that shows one code only
TRIALS = 600  # multipliers on either side of the nearest


@dataclass(frozen=True)
class Form:
    """The two constants of a line that a kernel is compiled with.

    Sums are below 2^(31 − lift), and biases finer than sums by `lift` bits; products are
    finer than codes by `drop` bits, and scales below 2^(lift − drop − 1).
    """

    lift: int
    drop: int


SUMS = Form(9, 12)  # MF_LIFT, MF_DROP: of convolutions and fully connected layers
DEPTHWISE = Form(12, 12)  # MF_DEPTHWISE_LIFT, MF_DEPTHWISE_DROP: fewer taps, larger scales


@dataclass(frozen=True, eq=False)
class Line:
    """The constants of one layer, each (channels,); kink None: nothing below the zero point."""

    bias: Ints
    multiplier: Ints
    kink: Ints | None


@dataclass(frozen=True, eq=False)
class _Stairs:
    """Where the codes of each channel begin."""

    form: Form
    zero_point: int
    codes: Ints  # (codes,), relative to the zero point, ascending
    first: Ints  # (channels, codes): the least sum, without bias, that has at least this code
    reached: Flags  # (channels, codes): some sum of this channel is there and some is below

    def of(self, channels: Flags) -> _Stairs:
        return replace(self, first=self.first[channels], reached=self.reached[channels])


def fit_line(
    form: Form,
    bias: Ints,
    rounding: Rounding,
    limits: Range,
    least_sum: Ints,
    most_sum: Ints,
) -> Line | None:
    """The line of a layer whose channel c sums up to least_sum[c] … most_sum[c] before the bias.

    bias: (channels,), as the exact computation uses it.  None if there is no line, or if it
    would leave 32 bits.
    """
    if (rounding.scales >= LARGEST).any():
        return None
    codes = np.arange(limits.least + 1, limits.most + 1) - limits.zero_point
    first = rounding.least_sums(codes) - bias[:, None]
    reached = (first > least_sum[:, None]) & (first <= most_sum[:, None])
    if reached[rounding.too_near].any():
        return None
    stairs = _Stairs(form, limits.zero_point, codes, first, reached)
    nearest = np.round(rounding.scales * 2.0 ** (32 - form.lift + form.drop)).astype(np.int64)
    search = _Search(stairs, nearest)
    still = (least_sum == 0) & (most_sum == 0)
    search.level(rounding.codes(least_sum + bias), still)
    line = search.run()
    if line is None or not _stays_in_int32(form, line, least_sum, most_sum):
        return None
    return line


class _Search:
    """Tries multipliers, the nearest first, until each channel has a line or none is left."""

    def __init__(self, stairs: _Stairs, nearest: Ints) -> None:
        self._stairs = stairs
        self._nearest = nearest
        self._above, self._below = stairs.codes > 0, stairs.codes <= 0
        self._bent = bool((stairs.reached & self._below).any())
        self._bias, self._kink, self._multiplier = (np.zeros_like(nearest) for _ in range(3))
        self._missing = np.ones(len(nearest), np.bool_)

    def level(self, codes: Ints, still: Flags) -> None:
        """Give channels that show one code only, relative to the zero point, a level line.

        still: channels whose sum is always 0.
        """
        codes = codes.clip(self._stairs.codes[0] - 1, self._stairs.codes[-1])
        codes = codes if self._bent else codes + self._stairs.zero_point
        lowest = (codes == LEAST) & (not self._bent)
        level = ~self._stairs.reached.any(axis=1) & ((codes == 0) | lowest | still)
        multiplier = np.where(codes == 0, 0, LEVEL)
        bias = (codes << 32 + self._stairs.form.drop) // LEVEL
        # as low as it gets, and no sum lifts it
        self._multiplier[level] = np.where(lowest, 1 << 30, multiplier)[level]
        self._bias[level] = np.where(lowest, -1 << 30, bias)[level]
        self._missing[level] = False

    def run(self) -> Line | None:
        for distance in range(TRIALS):
            self._try(self._nearest + distance)
            self._try(self._nearest - distance)
            if not self._missing.any():
                return Line(self._bias, self._multiplier, self._kink if self._bent else None)
        return None

    def _try(self, multipliers: Ints) -> None:
        channels = self._missing & (multipliers > 0) & (multipliers < 2**31)
        if not channels.any():
            return
        stairs, multiplier = self._stairs.of(channels), multipliers[channels]
        zero_point = None if self._bent else stairs.zero_point
        bias, fits = _through(stairs, multiplier, self._above, zero_point)
        kink = np.zeros_like(bias)
        if self._bent:
            other, also = _through(stairs, multiplier, self._below, None)
            other = np.where(stairs.reached[:, self._below].any(axis=1), other, bias)
            kink, fits = bias - other, fits & also & (bias >= other)
            fits &= _parts_at_zero(stairs, bias)
        index = np.flatnonzero(channels)[fits]
        self._bias[index], self._kink[index] = bias[fits], kink[fits]
        self._multiplier[index] = multiplier[fits]
        self._missing[index] = False


def _through(
    stairs: _Stairs, multiplier: Ints, side: Flags, zero_point: int | None
) -> tuple[Ints, Flags]:
    """The bias of a line through the steps of one side, and whether there is one.

    zero_point: of a straight line, which has it in its bias.
    """
    lift, drop = stairs.form.lift, stairs.form.drop
    if zero_point is None:
        product = (stairs.codes << drop) - (1 << drop >> 1)
    else:
        product = (stairs.codes + zero_point) << drop
    line = -(-(product << 32) // multiplier[:, None])
    least = line - (stairs.first << lift)
    # of steps out of reach the nearest is the guide
    reached = stairs.reached & side
    reached = np.where(reached.any(axis=1, keepdims=True), reached, side)
    low = np.where(reached, least, -(2**62)).max(axis=1)
    high = np.where(reached, least, 2**62).min(axis=1) + (1 << lift) - 1
    free = ~(stairs.reached & side).any(axis=1)
    return np.where(free, low, (low + high) >> 1), free | (low <= high)


def _parts_at_zero(stairs: _Stairs, bias: Ints) -> Flags:
    """Whether (sum << lift) + bias is negative below the last step up to 0, and not above."""
    zero = -(bias >> stairs.form.lift)  # the least sum with which it is not negative
    above, below = stairs.codes > 0, stairs.codes <= 0
    first = np.where(stairs.reached & above, stairs.first, 2**62).min(axis=1)
    last = np.where(stairs.reached & below, stairs.first, -(2**62)).max(axis=1)
    return np.asarray((last <= zero) & (zero <= first), np.bool_)


def _stays_in_int32(form: Form, line: Line, least_sum: Ints, most_sum: Ints) -> bool:
    kink = np.zeros_like(line.bias) if line.kink is None else line.kink
    lift, drop = form.lift, form.drop
    low = (least_sum << lift) + line.bias - kink
    high = (most_sum << lift) + line.bias
    sums = np.abs(np.stack([low, high, line.bias, least_sum << lift, most_sum << lift]))
    product = sums.max(axis=0) * (line.multiplier / 2.0**32)
    # the zero point is added while the product still has its `drop` bits
    return bool((sums < 2**31).all() and (product + (256 << drop) < 2**31).all())
