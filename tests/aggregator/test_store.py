import sqlite3
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from aggregator.errors import NoRunError, RunBusyError, StoreMismatchError
from aggregator.records import DeviceRecord, read_record
from aggregator.round import Answer
from aggregator.schema import Ending, Opened, Totals
from aggregator.store import Store
from aggregator.versions import Model
from tflite_models.parameters import Weights
from wire.messages import Reason

ACCEPTED = Answer(1, b"nonce--1", Reason.ACCEPTED, 7, 1.5, 0.25)


def model(version, rule_state=()):
    weights = Weights(np.int32([1, -127, version]), np.float32([0.5, 2.0]))
    return Model(version, weights, np.float64([0.1, 0.2, version]), rule_state)


@pytest.fixture
def store(tmp_path):
    """A run with one round open for `a` and `b`."""
    with Store(tmp_path, {"base": "abc", "seed": 1}) as store:
        store.begin(model(0), 0.5)
        store.open_round(Opened(1, 0, ("a", "b"), 2))
        store.commit()
        yield store


def reopened(store, directory):
    store.close()
    return Store(directory, {"base": "abc", "seed": 1})


def test_a_new_store_has_nothing_to_load(tmp_path):
    with Store(tmp_path / "deep" / "run", {}) as store:
        assert store.load() is None


def test_what_is_committed_is_loaded_and_the_rest_is_not(store, tmp_path):
    store.answer("a", ACCEPTED, b"payload")
    store.count(Totals(100, 200), {})
    store.commit()
    store.answer("b", Answer(1), b"")
    assert store.dirty
    with reopened(store, tmp_path) as again:
        loaded = again.load()
        assert (loaded.number, loaded.open) == (1, Opened(1, 0, ("a", "b"), 2))
        assert loaded.answers == {"a": ACCEPTED}
        assert loaded.totals == Totals(100, 200)
        assert again.payloads(1) == [("a", b"payload")]
        assert not again.dirty


def test_a_model_comes_back_bit_for_bit_with_its_rules_state(store, tmp_path, rng):
    values = rng.normal(size=3)
    state = (rng.normal(size=2), rng.normal(size=2))
    made = Model(1, model(1).weights, values, state)
    store.close_round(1, Ending(0.5, 0.25, 3.0, Totals(1, 2)), made, 0.75)
    store.commit()
    with reopened(store, tmp_path) as again:
        loaded = again.load()
        assert loaded.model.version == 1
        assert loaded.model.master.tobytes() == values.tobytes()
        assert [part.tobytes() for part in loaded.model.rule_state] == [p.tobytes() for p in state]
        assert loaded.model.weights.codes.tolist() == [1, -127, 1]
        assert loaded.model.weights.scales.tolist() == [0.5, 2.0]
        assert again.weights(0).codes.tolist() == [1, -127, 0]
        assert again.accuracies() == {0: 0.5, 1: 0.75}


def test_a_closed_round_keeps_its_answers_and_lets_the_payloads_go(store, tmp_path):
    store.answer("a", ACCEPTED, b"payload")
    store.close_round(1, Ending(0.5, 0.25, 3.0, Totals(1, 2)), model(1), 0.75)
    store.open_round(Opened(2, 1, ("b",), 1))
    store.answer("b", Answer(2, b"nonce--2", Reason.CORRUPT, 7, 1.0, 1.0), b"")
    store.commit()
    with reopened(store, tmp_path) as again:
        loaded = again.load()
        assert loaded.earlier == {"a": (ACCEPTED,)}
        assert loaded.answers["b"].reason is Reason.CORRUPT
        assert again.payloads(1) == [("a", None)]


def test_the_last_four_answers_of_each_device_come_back_newest_first(store, tmp_path):
    def answer(number):
        return Answer(number, b"nonce--%d" % number, Reason.ACCEPTED, 7, 1.0, 1.0)

    for number in range(1, 8):
        if number > 1:
            store.open_round(Opened(number, 0, ("a", "b"), 1))
        if number != 5:
            store.answer("a", answer(number), b"payload")
        if number in (2, 3):
            store.answer("b", answer(number), b"payload")
        store.commit()
    with reopened(store, tmp_path) as again:
        loaded = again.load()
    assert loaded.answers == {"a": answer(7)}
    assert loaded.earlier == {
        "a": tuple(answer(number) for number in (6, 4, 3, 2)),
        "b": (answer(3), answer(2)),
    }


def test_a_device_is_accepted_once_in_a_round_whatever_the_caller_does(store):
    store.answer("a", Answer(1, b"bad-----", Reason.CORRUPT, 7, 1.0, 1.0), b"")
    store.answer("a", ACCEPTED, b"payload")
    with pytest.raises(AssertionError, match="a was accepted in round 1 before"):
        store.answer("a", Answer(1, b"nonce--2", Reason.ACCEPTED, 7, 1.0, 1.0), b"other")
    assert store.payloads(1) == [("a", b"payload")]


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"base": "xyz", "seed": 1}, "base is 'abc' there and 'xyz' here"),
        ({"base": "abc", "seed": 2}, "seed is 1 there and 2 here"),
    ],
)
def test_a_store_of_another_run_is_refused_and_says_what_differs(
    store, tmp_path, identity, message
):
    store.close()
    with pytest.raises(StoreMismatchError, match=message):
        Store(tmp_path, identity)
    Store(tmp_path, {"base": "abc", "seed": 1}).close()


def test_a_store_of_another_schema_is_refused(store, tmp_path):
    store.close()
    db = sqlite3.connect(tmp_path / "state.sqlite")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreMismatchError, match="schema version is 99 there and 3 here"):
        Store(tmp_path, {"base": "abc", "seed": 1})
    with pytest.raises(NoRunError, match="schema is 99"):
        read_record(tmp_path)


def test_two_aggregators_cannot_share_a_run(store, tmp_path):
    with pytest.raises(RunBusyError, match="in use by another process"):
        Store(tmp_path, {"base": "abc", "seed": 1})
    code = f"from aggregator.store import Store; from pathlib import Path; Store(Path({str(tmp_path)!r}), {{}})"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "RunBusyError" in other.stderr


def test_sessions_grow_across_restarts(store, tmp_path):
    numbers = [store.next_session(), store.next_session()]
    with reopened(store, tmp_path) as again:
        assert [*numbers, again.next_session()] == [1, 2, 3]


def test_a_live_run_can_be_read_and_shows_only_what_is_committed(store, tmp_path):
    store.answer("a", ACCEPTED, b"payload")
    store.refuse("a", Reason.LATE)
    store.count(Totals(100, 30), {"a": (40, 20), "b": (0, 10)})
    assert read_record(tmp_path).devices[0].accepted == 0
    store.commit()
    store.count(Totals(105, 31), {"a": (5, 1)})
    store.commit()
    record = read_record(tmp_path)
    assert record.identity["seed"] == 1
    assert [r.number for r in record.rounds] == [0], "the open round is not over"
    assert record.devices == (
        DeviceRecord(
            "a", 1, accepted=1, declined=0, late=1, refused=1, samples=7, bytes_up=45, bytes_down=21
        ),
        DeviceRecord(
            "b", 1, accepted=0, declined=0, late=0, refused=0, samples=0, bytes_up=0, bytes_down=10
        ),
    )
    assert record.totals == Totals(105, 31)


def test_a_finished_run_can_be_read_from_a_directory_that_cannot_be_written(store, tmp_path):
    store.answer("a", ACCEPTED, b"payload")
    store.answer("b", Answer(1), b"")
    store.refuse("", Reason.MALFORMED)
    store.refuse("", Reason.MALFORMED)
    store.close_round(1, Ending(1.5, 0.25, 3.0, Totals(10, 20)), model(1), 0.75)
    store.open_round(Opened(2, 1, ("a", "b"), 2))
    store.abandon_round(2, Ending(0.0, 0.0, 1.0, Totals(11, 22)))
    store.commit()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["state.sqlite"], (
        "no log is left beside it"
    )
    tmp_path.chmod(0o500)
    try:
        record = read_record(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert record.refusals == {"MALFORMED": 2}
    assert [d.device for d in record.devices] == ["a", "b"], "strangers have no row"
    assert record.best.number == 1
    base, first, second = map(asdict, record.rounds)
    assert (base["number"], base["accuracy"]) == (0, 0.5)
    assert first == {
        "number": 1,
        "version": 1,
        "accuracy": 0.75,
        "abandoned": False,
        "cohort": 2,
        "accepted": 1,
        "declined": 1,
        "loss_before": 1.5,
        "loss_after": 0.25,
        "seconds": 3.0,
        "bytes_up": 10,
        "bytes_down": 20,
    }
    assert (second["abandoned"], second["version"], second["bytes_up"]) == (True, 1, 11)


@pytest.mark.parametrize("content", [None, b"not a database, but long enough to look at" * 50])
def test_what_is_no_run_is_refused(tmp_path, content):
    if content:
        (tmp_path / "state.sqlite").write_bytes(content)
    with pytest.raises(NoRunError, match="cannot be read as a run"):
        read_record(tmp_path)
