import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import accumulate
from aggregator.accumulate import LIMIT, MOST_SAMPLES, Accumulator, OutOfRangeError, plausible

updates = st.lists(
    st.tuples(
        st.lists(st.floats(-64, 64, width=32), min_size=4, max_size=4).map(np.float32),
        st.integers(1, MOST_SAMPLES),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(params=["in the core", "in NumPy"])
def anywhere(request, monkeypatch):
    """Where sums are made: what holds in one holds in the other."""
    if request.param == "in NumPy":
        monkeypatch.setattr(accumulate, "present", lambda: False)


def summed(items, cohort=12):
    total = Accumulator(4, cohort)
    for delta, samples in items:
        total.add(delta, samples)
    return total


def test_the_mean_is_weighted_by_samples():
    total = Accumulator(size=2, cohort=2)
    total.add(np.float32([1.0, -2.0]), samples=1)
    total.add(np.float32([0.0, 2.0]), samples=3)
    assert total.mean().tolist() == [0.25, 1.0]
    assert (total.count, total.samples) == (2, 4)


def test_the_mean_is_that_of_numpy_on_ordinary_updates(rng):
    deltas = rng.normal(0, 0.1, (20, 500)).astype(np.float32)
    samples = rng.integers(1, 400, 20)
    total = Accumulator(500, 20)
    for delta, n in zip(deltas, samples, strict=True):
        total.add(delta, int(n))
    expected = np.average(deltas.astype(np.float64), axis=0, weights=samples)
    np.testing.assert_allclose(total.mean(), expected, rtol=0, atol=1e-10)


def test_the_core_and_numpy_sum_to_the_same_bits(rng, monkeypatch):
    """Of every magnitude, both zeros and the largest among them, and halves of what is kept."""
    odd = np.float32([0.0, -0.0, LIMIT, -LIMIT, 2**-149, 2**-31, -(2**-31), 3 * 2**-31])
    items = []
    for samples in (1, 2, 3, 60, 2**15 + 1, MOST_SAMPLES):
        sizes = 2.0 ** rng.uniform(-40, 6, 1000) * rng.choice([-1, 1], 1000)
        values = np.where(rng.random(1000) < 0.3, rng.choice(odd, 1000), sizes)
        items.append((plausible(values.astype(np.float32)), samples))
    totals = []
    for core in (True, False):
        monkeypatch.setattr(accumulate, "present", lambda core=core: core)
        total = Accumulator(1000, len(items))
        for delta, samples in items:
            total.add(delta, samples)
        totals.append(total)
    assert totals[0]._total.tolist() == totals[1]._total.tolist()
    assert totals[0].mean().tobytes() == totals[1].mean().tobytes()


@given(updates, st.randoms(use_true_random=False))
def test_the_order_of_arrival_cannot_change_a_bit(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    assert summed(items).mean().tobytes() == summed(shuffled).mean().tobytes()


@given(updates, updates)
def test_sums_add_up(left, right):
    both = summed(left + right, cohort=24)
    parts = [summed(part, cohort=24) for part in (left, right)]
    assert both._total.tolist() == (parts[0]._total + parts[1]._total).tolist()
    assert both.samples == sum(part.samples for part in parts)


@pytest.mark.parametrize("cohort", [1, 2, 64, 65, 1000])
def test_the_largest_updates_of_a_whole_cohort_do_not_overflow(cohort):
    total = Accumulator(2, cohort)
    for _ in range(cohort):
        total.add(np.float32([LIMIT, -LIMIT]), MOST_SAMPLES)
    assert total.mean().tolist() == [LIMIT, -LIMIT]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 64.00001, -65.0])
@pytest.mark.usefixtures("anywhere")
def test_a_value_that_is_not_finite_or_too_large_is_refused(bad):
    alone, first = np.float32([0, bad, 0]), np.float32([0, bad, 999, -999])
    for values in (alone, first):
        with pytest.raises(OutOfRangeError, match=f"holds {values[1]};.*-64 to 64"):
            plausible(values)


@pytest.mark.usefixtures("anywhere")
def test_a_plausible_update_stays_as_it_is():
    for values in ([LIMIT, -LIMIT, 0.0], []):
        assert plausible(np.float32(values)).tolist() == values


def test_a_step_far_below_an_int8_step_survives_in_a_cohort_of_a_thousand():
    total = Accumulator(1, 1000)
    for _ in range(1000):
        total.add(np.float32([3e-7]), 60)
    assert total.mean()[0] == pytest.approx(3e-7, rel=1e-3)


def test_what_is_added_is_rounded_and_not_cut_off():
    total = Accumulator(2, 1)
    total.add(np.float32([0.75 * 2**-30, -0.75 * 2**-30]), 1)
    assert total.mean().tolist() == [2**-30, -(2**-30)]
