"""Parts of the core compiled for one instruction set: a machine runs only its widest by itself."""

import ctypes
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "firmware" / "core"
INSTRUCTIONS = ("", "avx2", "avx512f")  # of kernels/widest.h; "": what every machine has
EXACT = ("-std=c99", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")


def compiled_for(
    instructions: str, sources: Iterable[Path], folder: Path, *, optimized: str = "-O3"
) -> ctypes.CDLL:
    """A library of `sources` in `folder`; skips where this machine cannot make or run it."""
    flags = Path("/proc/cpuinfo")
    if instructions and not (flags.is_file() and instructions in flags.read_text().split()):
        pytest.skip(f"this processor has no {instructions}")
    library = folder / "part.so"
    chosen = [*EXACT, optimized, *([f"-m{instructions}"] if instructions else [])]
    include = (f"-I{CORE / 'include'}", f"-I{CORE / 'src'}")
    command = ["cc", *chosen, *include, "-shared", "-fPIC", *sources, "-o", library]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    return ctypes.CDLL(str(library))
