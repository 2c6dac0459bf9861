"""The arithmetic under all kernels: exact multiply-adds, exp, log, random numbers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from device_sim.twin.random import Random

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "firmware" / "core"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    compiler = shutil.which("cc") or pytest.skip("needs a C compiler")
    program = tmp_path_factory.mktemp("arithmetic") / "arithmetic"
    sources = [HERE / "arithmetic.c", CORE / "src" / "train" / "random.c"]
    includes = [f"-I{CORE / 'src'}", f"-I{CORE / 'include'}"]
    subprocess.run(
        [
            compiler,
            "-std=c99",
            "-O2",
            "-ffp-contract=off",
            *includes,
            *sources,
            "-lm",
            "-o",
            program,
        ],
        check=True,
    )
    return subprocess.run([program], capture_output=True, check=True).stdout.split()


def test_the_multiply_add_without_the_instruction_is_the_one_with_it(figures):
    """Compiled for plain x86-64, against the C library's fmaf: 5,000,000 cases, most of them hard."""
    assert int(figures[0]) == 0


def test_exp_and_log_are_as_exact_as_they_say(figures):
    assert float(figures[1]) <= 1.0
    assert float(figures[2]) <= 3.0
    assert figures[3] == b"1"


def test_the_twin_draws_the_same_numbers(figures):
    random = Random(42)
    assert [int(figure) for figure in figures[4:]] == [random.word() for _ in range(3)]
