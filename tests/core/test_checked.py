"""The core under the address and undefined-behaviour sanitizers."""

import pytest

from tests.sanitizer import ROOT, passes

LIBRARY = ROOT / "build" / "checked" / "libmicrofed.so"
TESTS = (
    "test_train_refusals.py",
    "test_train_epochs.py",
    "test_train_choices.py",
    "test_train_stored.py",
    "test_train_zeros.py",
    "test_int8_refusals.py",
    "test_sums.py",
)


@pytest.mark.slow
def test_models_good_and_hostile_touch_no_memory_but_their_own():
    """Their tests pass in a process that ends at the first bad access or overflow."""
    tests = [ROOT / "tests" / "core" / name for name in TESTS]
    passes(ROOT / "firmware" / "core", tests, MICROFED_CORE=str(LIBRARY))
