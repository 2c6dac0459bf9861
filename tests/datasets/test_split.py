"""The laws of a split: disjoint, covering, seeded, and of the asked-for sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import DataError
from datasets.load import Dataset, load
from datasets.settings import DataSettings
from datasets.split import FEWEST, Dice, split


def toy(y, subject=None, official_test=None):
    """A data set of the given labels; its samples are empty."""
    y = np.asarray(y, np.int32)
    return Dataset(
        name="toy",
        x=np.zeros((len(y), 1, 1, 1), np.float32),
        y=y,
        classes=tuple(map(str, range(int(y.max()) + 1))),
        subject=None if subject is None else np.asarray(subject, np.int32),
        official_test=None if official_test is None else np.asarray(official_test, bool),
        source="made",
        licence="none",
    )


def everything(parts):
    return np.concatenate([parts.factory, parts.test, *parts.clients])


settings = st.builds(
    DataSettings,
    partition=st.sampled_from(["dirichlet", "labels", "iid"]),
    alpha=st.sampled_from([0.01, 0.5, 100.0]),
    labels=st.integers(1, 4),
    clients=st.integers(4, 30),
    factory=st.sampled_from([0.15, 0.5]),
    test=st.sampled_from([0.1, 0.2]),
)


@given(settings, st.integers(0, 2**32), st.integers(400, 700), st.booleans())
def test_every_sample_is_in_exactly_one_part_and_no_device_is_empty(
    settings, seed, n, has_official_test
):
    rng = np.random.default_rng(n)
    y = np.append(rng.integers(0, 4, n), np.arange(4))
    official = rng.random(len(y)) < 0.2 if has_official_test else None
    parts = split(toy(y, official_test=official), settings, seed)
    assert sorted(everything(parts).tolist()) == list(range(len(y)))
    assert len(parts.clients) == settings.clients
    assert min(map(len, parts.clients)) >= 1
    if official is not None:
        np.testing.assert_array_equal(parts.test, np.flatnonzero(official))
    for label in range(4):
        of_class = y == label
        training = of_class.sum() - of_class[parts.test].sum()
        assert of_class[parts.factory].sum() == int(settings.factory * training)
        if official is None:
            assert of_class[parts.test].sum() == int(settings.test * of_class.sum())


@given(settings, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_split_and_another_gives_another(settings, seed):
    data = toy(np.arange(500) % 4)
    one, two, other = (split(data, settings, s) for s in (seed, seed, seed + 1))
    assert [c.tolist() for c in one.clients] == [c.tolist() for c in two.clients]
    assert one.factory.tolist() == two.factory.tolist() != other.factory.tolist()


@given(st.integers(1, 7), st.integers(0, 12), st.integers(0, 99), st.booleans())
def test_by_subject_nobody_is_in_two_parts(factory_subjects, clients, seed, has_official_test):
    subject = np.arange(300) % 10
    official = subject < 3 if has_official_test else None
    data = toy(np.arange(300) // 10 % 3, subject, official)
    settings = DataSettings(
        partition="subject", clients=clients, factory_subjects=factory_subjects, test=0.3
    )
    parts = split(data, settings, seed)
    people = [set(subject[part].tolist()) for part in (parts.factory, parts.test)]
    assert [len(p) for p in people] == [factory_subjects, 3]
    fleet = 7 - factory_subjects
    assert len(parts.clients) == (clients or fleet) * (fleet > 0)
    assert all(len(set(subject[c].tolist())) == 1 for c in parts.clients)
    assert {int(subject[c[0]]) for c in parts.clients}.isdisjoint(people[0] | people[1])
    assert people[0].isdisjoint(people[1])
    if clients == 0 or clients >= fleet > 0:
        assert sorted(everything(parts).tolist()) == list(range(300))
    assert len(np.unique(everything(parts))) == len(everything(parts))


def test_the_split_of_digits_is_the_same_on_every_machine():
    """Written down once: a change of NumPy, platform or code that moves a sample shows here."""
    settings = DataSettings(name="digits")
    parts = split(load(settings), settings, seed=1)
    assert parts.test[:5].tolist() == TEST
    assert parts.factory[:5].tolist() == FACTORY
    assert [len(c) for c in parts.clients] == SIZES


# fmt: off
TEST = [2, 9, 16, 18, 28]
FACTORY = [5, 15, 19, 24, 27]
SIZES = [32, 76, 71, 17, 114, 67, 38, 66, 74, 44, 30, 45, 82, 110, 58, 72, 72, 49, 97, 17]
# fmt: on


def test_dice_are_the_published_stream_of_pcg64():
    dice = Dice(42)
    assert [dice.below(1000) for _ in range(5)] == [773, 438, 858, 697, 94]
    assert dice.shuffled(np.arange(6)).tolist() == [3, 5, 4, 1, 2, 0]


def skew(alpha):
    """How far the devices' class shares are from the whole's, on average over devices."""
    y = np.arange(4000) % 4
    parts = split(toy(y), DataSettings(alpha=alpha, clients=20), seed=3)
    shares = np.array([np.bincount(y[c], minlength=4) / len(c) for c in parts.clients])
    return np.abs(shares - 0.25).mean()


def test_a_small_alpha_skews_and_a_large_one_does_not():
    assert skew(0.05) > 0.25 > 0.1 > skew(1000)


def test_polyas_urn_has_the_variance_of_a_dirichlet_draw():
    """A device's share of a class is Beta(a, (n-1)a): variance p(1-p)/(na+1), p = 1/n."""
    y = np.zeros(3000, int)
    y[0] = 1
    shares = []
    for seed in range(150):
        parts = split(toy(y), DataSettings(alpha=2.0, clients=4, factory=0.01, test=0.01), seed)
        shares += [len(c) for c in parts.clients]
    variance = np.var(np.array(shares) / sum(shares) * 150)
    assert variance == pytest.approx(0.25 * 0.75 / (4 * 2.0 + 1), rel=0.2)


def test_under_an_extreme_dirichlet_every_device_still_has_a_few_samples():
    data = toy(np.arange(1000) % 4)
    parts = split(data, DataSettings(alpha=0.01, clients=30), seed=1)
    assert min(map(len, parts.clients)) == FEWEST


def test_each_device_holds_as_many_classes_as_asked():
    y = np.arange(2000) % 10
    parts = split(toy(y), DataSettings(partition="labels", labels=3, clients=20), seed=1)
    assert [len(np.unique(y[c])) for c in parts.clients] == [3] * 20


def test_iid_devices_are_of_equal_size():
    parts = split(toy(np.arange(1000) % 4), DataSettings(partition="iid", clients=7), seed=1)
    assert {len(c) for c in parts.clients} == {97, 98}


def test_a_factory_that_takes_all_leaves_no_fleet():
    parts = split(toy(np.arange(100) % 4), DataSettings(factory=1.0), seed=1)
    assert (len(parts.factory), len(parts.test), parts.clients) == (80, 20, ())


@pytest.mark.parametrize(
    ("data", "settings", "told"),
    [
        (toy([0, 1] * 50), {"partition": "subject"}, "does not say who"),
        (
            toy([0, 1] * 50, np.arange(100) % 5),
            {"partition": "subject", "factory_subjects": 5},
            "factory_subjects = 5, but 'toy' has 4 subjects",
        ),
        (
            toy([0, 1] * 5, np.arange(10) % 5),
            {"partition": "subject", "clients": 20, "factory_subjects": 1},
            "clients = 20, but a subject has only 2",
        ),
        (toy([0, 1] * 50), {"clients": 0}, "data.clients = 0"),
        (toy([0, 1] * 50), {"clients": 99}, "but the fleet has 68 samples"),
        (toy([0, 1] * 3), {"clients": 1}, "too few samples per class"),
        (toy([0, 1, 2] * 50), {"partition": "labels", "labels": 4}, "3 classes"),
        (toy([0, 1, 2] * 50), {"partition": "labels", "labels": 1, "clients": 2}, "nobody"),
        (
            toy([0] * 100 + [1] * 10),
            {"partition": "labels", "labels": 1, "clients": 20},
            "fewer samples than devices",
        ),
    ],
)
def test_an_impossible_split_is_refused_with_the_setting_to_change(data, settings, told):
    with pytest.raises(DataError, match=told):
        split(data, DataSettings(**settings), seed=1)
