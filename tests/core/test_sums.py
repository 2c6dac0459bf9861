"""The sums of the core beside NumPy's: the same bits, for values of every kind."""

from ctypes import c_double, c_float, c_size_t

import numpy as np
import pytest

from core.sums import add_rounded, within
from tests.widths import CORE, INSTRUCTIONS, compiled_for

LARGEST = np.float32(64)
NASTY = np.float32(
    [0.0, -0.0, 64, -64, 2**-149, -(2**-149), 2**-126, 2**-31, 3 * 2**-31, -(2**-31), 2**-30]
)


def rounded(values, factor):
    return np.rint(values.astype(np.float64) * factor).astype(np.int64)


def some(rng, n):
    """Magnitudes from 2^-40 to 2^6, and in between the nasty ones."""
    sizes = 2.0 ** rng.uniform(-40, 6, n) * rng.choice([-1, 1], n)
    return np.where(rng.random(n) < 0.3, rng.choice(NASTY, n), sizes).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 16, 33, 7840])
@pytest.mark.parametrize("samples", [1, 3, 60, 2**15 + 1, 2**20 - 1, 2**20])
def test_a_sum_is_what_numpy_rounds_and_adds(n, samples, rng):
    total = rng.integers(-(2**61), 2**61, n)
    expected = total.copy()
    for bits in (26, 30):
        values = some(rng, n)
        add_rounded(total, values, samples * 2.0**bits)
        expected += rounded(values, samples * 2.0**bits)
    assert total.tolist() == expected.tolist()


def test_halves_are_rounded_to_even_wherever_they_lie():
    halves = np.arange(-(2**12), 2**12, dtype=np.float32) + np.float32(0.5)
    for above in (0.0, 2.0**10, -(2.0**10)):
        total = np.zeros(halves.size, np.int64)
        add_rounded(total, halves + np.float32(above), 1.0)
        assert (total % 2 == 0).all()
        assert total.tolist() == rounded(halves + np.float32(above), 1.0).tolist()


def test_products_up_to_the_largest_integers_are_exact(rng):
    values = some(rng, 4000)
    for exponent in range(57):
        total = np.zeros(values.size, np.int64)
        add_rounded(total, values, 2.0**exponent)
        assert total.tolist() == rounded(values, 2.0**exponent).tolist(), exponent


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_every_instruction_set_sums_to_the_same_bits(instructions, tmp_path, rng):
    sources = [CORE / "host" / "sums.c", CORE / "src" / "codec" / "steps.c"]
    core = compiled_for(instructions, sources, tmp_path)
    for n in (5, 16, 1003):
        values, total = some(rng, n), np.zeros(n, np.int64)
        at, to = (c_size_t(array.ctypes.data) for array in (values, total))
        core.mf_add_rounded(at, c_double(60 * 2.0**30), to, n)
        assert total.tolist() == rounded(values, 60 * 2.0**30).tolist()
        assert core.mf_within(at, n, c_float(64.0))
        values[n - 1] = np.nan
        assert not core.mf_within(at, n, c_float(64.0))


@pytest.mark.parametrize("n", [1, 15, 16, 17, 64, 1000])
@pytest.mark.parametrize(
    "value", [np.nan, -np.nan, np.inf, -np.inf, np.nextafter(LARGEST, np.float32(65)), -3e38]
)
def test_one_value_outside_is_found_wherever_it_lies(n, value, rng):
    for at in {0, n // 2, n - 1, int(rng.integers(n))}:
        values = some(rng, n)
        assert within(values, 64.0)
        values[at] = value
        assert not within(values, 64.0)


def test_nothing_lies_outside_and_a_limit_of_zero_lets_zeros_pass():
    assert within(np.zeros(0, np.float32), 64.0)
    assert within(np.float32([0.0, -0.0]), 0.0)
    assert not within(np.float32([0.0, 2**-149]), 0.0)


def test_values_that_cannot_be_written_or_lie_apart_are_read_all_the_same():
    values = np.arange(8, dtype=np.float32)[::2]
    frozen = np.frombuffer(values.tobytes(), np.float32)
    for read in (values, frozen):
        total = np.zeros(4, np.int64)
        add_rounded(total, read, 1.0)
        assert total.tolist() == [0, 2, 4, 6]
        assert within(read, 6.0)
        assert not within(read, 5.0)
