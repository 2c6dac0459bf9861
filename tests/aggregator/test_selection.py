import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aggregator.muster import Muster
from aggregator.selection import Candidates, cohort_size, quorum_size, task_seed
from aggregator.settings import FederatedSettings

NAMES = [f"dev-{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("setting", "online", "size"),
    [
        (1.0, 20, 20),
        (0.5, 20, 10),
        (0.1, 5, 1),
        (0.3, 10, 3),
        (7.0, 20, 7),
        (7.0, 3, 3),
        (0.01, 1, 1),
    ],
)
def test_a_cohort_is_a_share_or_a_number(setting, online, size):
    assert cohort_size(setting, online) == size


@pytest.mark.parametrize(
    ("share", "cohort", "quorum"),
    [(0.8, 10, 8), (0.8, 3, 3), (0.7, 10, 7), (0.01, 5, 1), (1.0, 4, 4)],
)
def test_a_quorum_is_a_share_of_the_cohort_rounded_up(share, cohort, quorum):
    assert quorum_size(share, cohort) == quorum


def test_a_cohort_that_is_neither_share_nor_number_is_refused():
    with pytest.raises(ValidationError, match="whole number"):
        FederatedSettings(cohort=2.5)


def test_the_choice_is_the_same_on_every_machine():
    chosen = Candidates(NAMES).choose(4, seed=1, round_number=1)
    assert chosen == ("dev-0", "dev-13", "dev-15", "dev-4")
    assert task_seed(1, 1) == 700644528


@given(st.permutations(NAMES), st.integers(0, 2**31), st.integers(1, 1000))
def test_the_choice_does_not_depend_on_the_order_of_the_ids(names, seed, number):
    assert Candidates(names).choose(5, seed, number) == Candidates(NAMES).choose(5, seed, number)


@given(st.integers(0, 2**31), st.sampled_from(NAMES))
def test_a_device_that_leaves_moves_nobody_but_its_successor(seed, gone):
    before = set(Candidates(NAMES).choose(5, seed, 1))
    after = set(Candidates([name for name in NAMES if name != gone]).choose(5, seed, 1))
    assert before - after <= {gone}


def test_every_device_gets_its_turn():
    counts = dict.fromkeys(NAMES, 0)
    for number in range(400):
        for name in Candidates(NAMES).choose(5, seed=3, round_number=number):
            counts[name] += 1
    assert 60 < min(counts.values()) <= max(counts.values()) < 140  # 100 expected


def test_the_first_round_waits_for_all_however_long_it_takes():
    muster = Muster(3, patience=10.0, begun=False, now=0.0)
    assert not muster.ready(2, 1e9)
    assert muster.ready(3, 1e9)


def test_a_later_round_waits_for_a_while_and_not_again_for_the_same():
    muster = Muster(3, patience=10.0, begun=False, now=0.0)
    muster.restart(100.0)
    assert not muster.ready(2, 109.0)
    assert muster.ready(2, 110.0)
    muster.restart(120.0)
    assert muster.ready(2, 120.0), "the third is given up until it is back"
    assert not muster.ready(1, 120.0)
    assert muster.ready(3, 121.0)
    muster.restart(130.0)
    assert not muster.ready(2, 130.0), "the third came back, so it is waited for"


def test_a_round_never_opens_without_devices():
    muster = Muster(1, patience=1.0, begun=True, now=0.0)
    assert not muster.ready(0, 1000.0)
