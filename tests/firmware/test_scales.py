"""A line gives every sum the code that rounding twice gives it."""

import numpy as np
import pytest

from core.int8_calls import Range
from firmware.compiler.rounding import Twice, rescaled
from firmware.compiler.scales import DEPTHWISE, SUMS, fit_line

RELU = Range(-128, -128, 127)
SIGNED = Range(7, -128, 127)
CUT = Range(-20, -20, 90)


def codes_on(line, form, limits, sums):
    x = (sums << form.lift) + line.bias[:, None]
    if line.kink is None:
        codes = (x * line.multiplier[:, None] >> 32) >> form.drop
    else:
        x = x - np.where(x < 0, line.kink[:, None], 0)
        half = 1 << form.drop >> 1
        codes = ((x * line.multiplier[:, None] >> 32) + half >> form.drop) + limits.zero_point
    return codes.clip(limits.least, limits.most)


@pytest.mark.parametrize("limits", [RELU, SIGNED, CUT])
@pytest.mark.parametrize("form", [SUMS, DEPTHWISE])
@pytest.mark.parametrize("seed", range(4))
def test_a_line_agrees_with_two_roundings_on_every_sum(limits, form, seed):
    rng = np.random.default_rng(seed)
    multipliers = rng.integers(2**30, 2**31, 16)
    shifts = rng.integers(-9, -5, 16)
    bias = rng.integers(-20_000, 20_000, 16)
    reach = np.full(16, 90_000)
    line = fit_line(form, bias, Twice(multipliers, shifts), limits, -reach, reach)
    if line is None:
        pytest.skip("no line for one of these channels")
    sums = np.arange(-90_000, 90_001)[None]
    exact = rescaled(sums + bias[:, None], multipliers[:, None], shifts[:, None])
    exact = (exact + limits.zero_point).clip(limits.least, limits.most)
    assert (codes_on(line, form, limits, sums) == exact).all()


def test_most_layers_have_a_line():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        line = fit_line(
            SUMS,
            rng.integers(-20_000, 20_000, 32),
            Twice(rng.integers(2**30, 2**31, 32), rng.integers(-10, -6, 32)),
            RELU,
            np.full(32, -(2**20)),
            np.full(32, 2**20),
        )
        found += line is not None
    assert found >= 36


def test_a_dead_channel_shows_its_constant():
    one = np.array([1])
    line = fit_line(SUMS, 3000 * one, Twice(2**30 * one, -7 * one), RELU, 0 * one, 0 * one)
    exact = rescaled(3000 * one, 2**30 * one, -7 * one) - 128
    assert codes_on(line, SUMS, RELU, np.array([[0]])) == exact
