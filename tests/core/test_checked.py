"""The core under the address and undefined-behaviour sanitizers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "build" / "checked" / "libmicrofed.so"
TESTS = (
    "test_train_refusals.py",
    "test_train_epochs.py",
    "test_train_choices.py",
    "test_train_stored.py",
    "test_int8_refusals.py",
)


def runtime():
    """The sanitizer's own library, which must be loaded before everything else."""
    named = ["cc", "-print-file-name=libasan.so"]
    try:
        found = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a C compiler")
    return found if found.startswith("/") else pytest.skip("needs the address sanitizer")


@pytest.mark.slow
def test_models_good_and_hostile_touch_no_memory_but_their_own():
    """Their tests pass in a process that ends at the first bad access or overflow."""
    environment = os.environ | {
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "MICROFED_CORE": str(LIBRARY),
    }
    subprocess.run(["make", "-s", "-C", ROOT / "firmware" / "core", "checked"], check=True)
    tests = [ROOT / "tests" / "core" / name for name in TESTS]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert " passed" in ended.stdout
