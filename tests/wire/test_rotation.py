"""The rotation of peaks in C: the reference's bits at every size and for every instruction set."""

from ctypes import byref, c_int32, c_size_t

import numpy as np
import pytest

from core import codec as compiled
from tests.widths import CORE, INSTRUCTIONS, compiled_for
from wire.codecs import peaks

# Around every power of two: whole blocks, and rounds of four and of two behind them.
SIZES = sorted({size + more for k in range(14) for size in (1 << k,) for more in (-1, 0, 1)})


def update(n, rng):
    """Values of many magnitudes, zeros among them: sums whose order shows in their bits."""
    values = (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 5, n)).astype(np.float32)
    values[rng.random(n) < 0.2] = -0.0
    return values


@pytest.mark.parametrize("budget", [3, 60, 10_000])
def test_the_core_and_the_reference_agree_at_every_size(budget, rng):
    for n in [*SIZES, 7840]:
        delta = update(n, rng)
        data = peaks.write(delta, min(budget, 2 + -(-n // 8)) if n else 3, 11)
        assert compiled.encode_peaks(delta, budget, 11) == data, n
        assert compiled.decode_peaks(data, n).tobytes() == peaks.read(data, n).tobytes(), n


@pytest.mark.parametrize("optimized", ["-Os", "-O3"])
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_whatever_the_compiler_makes_of_the_loops_has_the_same_bits(
    optimized, instructions, tmp_path, rng
):
    sources = sorted((CORE / "src" / "codec").glob("*.c"))
    core = compiled_for(instructions, sources, tmp_path, optimized=optimized)
    for n in (5, 63, 64, 1000, 4096, 7840, 9000):
        delta = update(n, rng)
        data = peaks.write(delta, 246, 3)
        values, coded, size = np.empty(n, np.float32), np.empty(246, np.uint8), c_int32()
        assert core.mf_decode_peaks(data, len(data), n, at(values)) == 0
        assert values.tobytes() == peaks.read(data, n).tobytes(), n
        assert core.mf_encode_peaks(at(delta), n, 3, 246, at(coded), byref(size)) == 0
        assert coded[: size.value].tobytes() == data, n


def at(array):
    return c_size_t(array.ctypes.data)
