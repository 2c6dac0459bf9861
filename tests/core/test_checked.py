"""The core under the address and undefined-behaviour sanitizers."""

import pytest

from tests.sanitizer import ROOT, passes

LIBRARY = ROOT / "build" / "checked" / "libmicrofed.so"
TESTS = (
    "core/test_train_refusals.py",
    "core/test_train_epochs.py",
    "core/test_train_choices.py",
    "core/test_train_stored.py",
    "core/test_train_zeros.py",
    "core/test_int8_refusals.py",
    "core/test_sums.py",
    "wire/test_moves.py",
    # The others of that file compile loops of their own, without sanitizers.
    "wire/test_rotation.py::test_the_core_and_the_reference_agree_at_every_size",
)


@pytest.mark.slow
def test_what_is_good_and_what_is_hostile_touches_no_memory_but_its_own():
    """Their tests pass in a process that ends at the first bad access or overflow."""
    tests = [ROOT / "tests" / name for name in TESTS]
    passes(ROOT / "firmware" / "core", tests, MICROFED_CORE=str(LIBRARY))
