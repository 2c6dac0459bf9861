"""Long tables are thinned evenly."""

import pytest

from report.thin import thin


def test_few_rows_are_left_alone():
    assert thin((3, 1, 2), 3) == (3, 1, 2)


@pytest.mark.parametrize(("count", "most"), [(4, 3), (1000, 48), (501, 500), (9, 2)])
def test_the_first_and_the_last_stay_and_none_comes_twice(count, most):
    kept = thin(range(count), most)
    assert len(kept) == len(set(kept)) == most
    assert (kept[0], kept[-1]) == (0, count - 1)
