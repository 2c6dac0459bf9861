"""The rotation of peaks in C: the reference's bits at every size and for every instruction set."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from core import codec as compiled
from wire.codecs import peaks

CORE = Path(__file__).parents[2] / "firmware" / "core"
EXACT = ("-std=c99", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
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


def has(instructions):
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and instructions in flags.read_text().split()


@pytest.mark.parametrize("optimized", ["-Os", "-O3"])
@pytest.mark.parametrize("instructions", ["", "avx2", "avx512f"])
def test_whatever_the_compiler_makes_of_the_loops_has_the_same_bits(
    optimized, instructions, tmp_path, rng
):
    if instructions and not has(instructions):
        pytest.skip(f"this processor has no {instructions}")
    sources = sorted((CORE / "src" / "codec").glob("*.c"))
    library = tmp_path / "codec.so"
    flags = [*EXACT, optimized, *([f"-m{instructions}"] if instructions else [])]
    folders = (f"-I{CORE / 'include'}", f"-I{CORE / 'src'}")
    command = ["cc", *flags, *folders, "-shared", "-fPIC", *sources, "-o", library]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    decode = ctypes.CDLL(str(library)).mf_decode_peaks
    for n in (5, 63, 64, 1000, 4096, 7840, 9000):
        data = peaks.write(update(n, rng), 246, 3)[: 2 + -(-n // 8)]
        values = np.empty(n, np.float32)
        assert decode(data, len(data), n, ctypes.c_size_t(values.ctypes.data)) == 0
        assert values.tobytes() == peaks.read(data, n).tobytes(), n
