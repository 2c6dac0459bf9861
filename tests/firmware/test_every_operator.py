"""The tests of the core's operators once more, on compiled C: conftest.py has the comparison."""

from tests.core.test_int8_layers import *  # noqa: F403 - every test of it is meant
from tests.core.test_int8_operators import *  # noqa: F403
