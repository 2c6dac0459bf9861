"""Tests again in a process whose C library has the address and undefined-behaviour sanitizers."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def runtime() -> str:
    """The sanitizer's own library, which must be loaded before everything else."""
    named = ["cc", "-print-file-name=libasan.so"]
    try:
        found = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a C compiler")
    return found if found.startswith("/") else pytest.skip("needs the address sanitizer")


def passes(folder: Path, tests: Sequence[Path], **environment: str) -> None:
    """Build `make checked` in a folder and run tests on it; the first bad access ends them."""
    told = {"LD_PRELOAD": runtime(), "ASAN_OPTIONS": "detect_leaks=0"}  # leaks: Python's own
    subprocess.run(["make", "-s", "-C", folder, "checked"], check=True)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env=os.environ | told | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert " passed" in ended.stdout
