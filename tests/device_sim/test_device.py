"""A device's life, message by message."""

from itertools import pairwise

import pytest

from device_sim.events import (
    BatteryLow,
    Judged,
    Leave,
    Lost,
    NotTrained,
    Publish,
    Received,
    Stop,
    Topic,
    Train,
    Trained,
    Update,
)
from device_sim.state import nonce_of
from tests.device_sim.conftest import verdict_on
from wire.cbor import encode
from wire.difference import check_of
from wire.messages import (
    Decline,
    Hello,
    Kind,
    Need,
    Offer,
    Phase,
    Presence,
    Reason,
    Refusal,
    Status,
)
from wire.objects import manifest_of


def test_a_device_says_that_it_is_there_and_once_somebody_listens_what_it_has(bench, world):
    device = bench()
    assert device.done == [Publish(Topic.STATE, Presence(1, Status.ONLINE), retain=True)]
    [hello] = device.hear(world.announce(0, Phase.WAITING))
    assert hello == Hello(1, 1, buffer=256, samples=5, board="esp32", base=b"", version=0)
    assert device.hear(world.announce(0, Phase.WAITING)) == []
    device.feed(Lost())
    state, hello = device.connect()
    assert (state.session, hello.session) == (2, 2)


def test_an_announcement_that_comes_before_the_connection_is_reported_is_not_lost(bench, world):
    device = bench()
    device.feed(Lost())
    assert device.hear(world.announce()) == []
    assert [type(m) for m in device.connect()] == [Presence, Hello]


def test_a_round_from_task_to_verdict(bench, world):
    device = bench()
    device.hear(world.announce())
    to_one = world.difference(0, 1)
    [need] = device.hear(world.task(1, 1, objects=(world.base, to_one)))
    assert need == Need(world.base.id, 256, 0, b"\xff")
    assert device.pull(world, [need]) == []
    [train] = device.did(Train)
    assert (train.model.version, train.model.base.digest) == (1, world.digest)
    assert train.model.weights.codes.tolist() == world.codes[1].codes.tolist()

    [offer] = device.train(b"the update")
    nonce = nonce_of("dev-1", world.task())
    manifest = manifest_of(Kind.UPDATE, b"the update")
    check = check_of(world.codes[1])
    assert offer == Offer(1, nonce, 1, "int8", 5, 2.0, 1.0, manifest, b"the update", check)
    assert device.hear(verdict_on(offer)) == []
    assert device.did(Judged) == [Judged(1, nonce, Reason.ACCEPTED)]
    assert device.refusals == []


def test_a_device_that_is_up_to_date_trains_at_once(ready, world):
    assert ready.hear(world.task(1, 0)) == []
    assert [train.model.version for train in ready.did(Train)] == [0]


@pytest.mark.parametrize(
    ("traits", "fields", "reason"),
    [
        ({"samples": 0}, {}, Refusal.NO_DATA),
        ({}, {"codec": "zip"}, Refusal.UNSUPPORTED),
        ({"flash": 1000}, {}, Refusal.UNSUPPORTED),
    ],
)
def test_a_device_declines_what_it_cannot_do(bench, world, traits, fields, reason):
    device = bench(**traits)
    task = world.task(objects=(world.base,), **fields)
    assert device.hear(task) == [Decline(1, reason)]
    assert device.hear(task) == [Decline(1, reason)]


def test_a_device_with_a_low_battery_declines(ready, world):
    ready.feed(BatteryLow())
    assert ready.hear(world.task()) == [Decline(1, Refusal.BATTERY)]


def test_a_device_whose_training_fails_declines(ready, world):
    task = world.task()
    ready.hear(task)
    [decline] = ready.feed(NotTrained(task))
    assert decline.message == Decline(1, Refusal.FAILED)


def test_a_lost_decline_is_said_again_after_the_next_hello(bench, world):
    device = bench(samples=0)
    device.hear(world.announce())
    device.hear(world.task())
    [hello] = device.wait()
    assert isinstance(hello, Hello)
    assert device.hear(world.task()) == [Decline(1, Refusal.NO_DATA)]


def test_a_task_of_a_newer_round_ends_the_older_one(ready, world):
    old = world.task(1)
    ready.hear(old)
    ready.hear(world.task(2))
    assert ready.feed(Trained(old, Update(b"old", 5, 2.0, 1.0))) == []
    [offer] = ready.train(b"new")
    assert (offer.round, offer.data) == (2, b"new")


def test_a_task_of_an_older_round_is_refused(ready, world):
    ready.hear(world.announce(3))
    assert ready.hear(world.task(2)) == []
    ready.hear(world.task(4))
    ready.hear(world.task(3))
    assert ready.refusals == ["task: older round"] * 2
    assert [train.task.round for train in ready.did(Train)] == [4]


def test_training_for_a_round_that_has_gone_by_is_given_up(ready, world):
    old = world.task(1)
    ready.hear(old)
    ready.hear(world.announce(2))
    assert ready.device.job is None
    assert ready.feed(Trained(old, Update(b"old", 5, 2.0, 1.0))) == []


def test_a_new_aggregator_session_gets_a_hello_and_the_same_update(ready, world):
    ready.hear(world.announce(1, session=1))
    ready.hear(world.task(1))
    [offer] = ready.train()
    [hello] = ready.hear(world.announce(1, session=2))
    assert (hello.session, hello.base, hello.version) == (1, world.digest, 0)
    assert ready.hear(world.announce(1, session=2)) == []
    assert ready.hear(world.task(1)) == [offer]


def test_an_aggregator_that_begins_anew_with_round_1_is_obeyed(ready, world):
    ready.hear(world.announce(8, session=1))
    ready.hear(world.task(8))
    ready.hear(world.announce(1, session=9))
    ready.hear(world.task(1))
    assert [train.task.round for train in ready.did(Train)] == [8, 1]


def test_one_that_first_waits_for_devices_is_obeyed_as_well(ready, world):
    ready.hear(world.announce(8, session=1))
    ready.hear(world.task(8))
    ready.hear(world.announce(0, session=9, phase=Phase.WAITING))
    ready.hear(world.announce(1, session=9))
    ready.hear(world.task(1))
    assert [train.task.round for train in ready.did(Train)] == [8, 1]


def test_an_idle_device_says_hello_again_with_growing_patience(ready, world):
    ready.hear(world.announce(1))
    times = [ready.now]
    for _ in range(6):
        assert [type(m) for m in ready.wait()] == [Hello]
        times.append(ready.now)
    waits = [after - before for before, after in pairwise(times)]
    assert waits == [4, 8, 16, 32, 60, 60]


def test_a_device_that_has_done_its_part_is_quiet(ready, world):
    ready.hear(world.announce(1))
    ready.hear(world.task(1))
    ready.hear(verdict_on(*ready.train()))
    while ready.device.wake is not None:
        assert ready.wait() == []


def test_a_finished_run_makes_the_device_sleep_and_leave(ready, world):
    effects = len(ready.done)
    ready.hear(world.announce(5, Phase.FINISHED))
    assert ready.done[effects:] == [
        Publish(Topic.STATE, Presence(1, Status.SLEEPING), retain=True),
        Leave(),
    ]
    assert ready.hear(world.task(6)) == []
    assert ready.connect() == []
    assert ready.device.wake is None


def test_a_device_that_is_told_to_stop_says_goodbye(ready):
    [goodbye, leave] = ready.feed(Stop())
    assert goodbye.message == Presence(1, Status.SLEEPING)
    assert leave == Leave()


def test_what_is_not_for_a_device_is_refused_by_kind(ready, world):
    ready.feed(Received(Topic.DOWN, b"\xff"))
    ready.feed(Received(Topic.DOWN, encode(Presence(1, Status.ONLINE))))
    ready.feed(Received(Topic.ANNOUNCE, encode(world.task())))
    ready.hear(Need(bytes(8), 256, 0, b"\x01"))
    assert ready.refusals == [
        "malformed",
        "unexpected: Presence",
        "unexpected: Task",
        "need: unknown object",
    ]
