"""Rounds from their beginning to their end, with devices that come and go."""

import numpy as np
import pytest

from aggregator.errors import QuorumLostError
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, to_float, weights_of
from wire.cbor import encode
from wire.messages import (
    Announce,
    Decline,
    Hello,
    Phase,
    Presence,
    Reason,
    Refusal,
    Status,
    Verdict,
)


def test_a_run_ends_with_the_model_that_its_devices_hold(rig, device):
    world = rig(wanted=3, rounds=3).add(*(device(name) for name in "abc")).pump()
    assert [(r.number, r.version, r.accepted, r.cohort) for r in world.records] == [
        (1, 1, 3, 3),
        (2, 2, 3, 3),
        (3, 3, 3, 3),
    ]
    assert [a.phase for a in world.announced] == [
        Phase.WAITING,
        Phase.TRAINING,
        Phase.TRAINING,
        Phase.TRAINING,
        Phase.FINISHED,
    ]
    assert all(each.finished for each in world.devices.values())
    graph = read_graph(world.file)
    held = world.devices["a"].codes  # version 2; the last was not asked for any more
    before = world.store.weights(2)
    assert (held.codes == before.codes).all()
    assert (weights_of(graph, layout_of(graph)).codes == world.course.model.weights.codes).all()
    assert world.file == world.current_file() != world.base


def test_one_round_of_fedavg_is_the_weighted_mean_by_hand(rig, device):
    world = rig(wanted=2, rounds=1, codec="float32").add(
        device("a", samples=1), device("b", samples=3)
    )
    world.pump()
    graph = read_graph(world.base)
    layout = layout_of(graph)
    deltas = [np.frombuffer(world.devices[name].update, np.float32).astype(float) for name in "ab"]
    expected = to_float(layout, weights_of(graph, layout)).astype(float)
    expected[layout.mask] += (deltas[0] + 3 * deltas[1]) / 4
    np.testing.assert_allclose(world.course.model.master, expected, rtol=0, atol=1e-9)
    assert (world.course.model.master[~layout.mask] == 0).all()


@pytest.mark.parametrize(
    "message",
    [
        Verdict(1, bytes(8), Reason.ACCEPTED),
        Announce(9, Phase.FINISHED, 9, 9, bytes(32)),
        Presence(1, Status.LOST),
    ],
)
def test_what_only_others_may_say_is_malformed(asked, message):
    assert asked.say("a", message) == []
    assert asked.refusals() == {Reason.MALFORMED: 1}


def test_strange_topics_and_garbage_are_counted_without_a_name(asked):
    asked.raw("microfed/v1/other/d/a/up", b"x")
    asked.raw("nonsense", b"")
    asked.raw("microfed/v1/lab/d/stranger/up", b"\xff")
    asked.raw("microfed/v1/lab/d/a/state", encode(Decline(1, Refusal.FAILED)))
    assert asked.refusals() == {Reason.MALFORMED: 4}
    names = asked.store._db.execute("SELECT device, count FROM refusals ORDER BY device").fetchall()
    assert names == [("", 3), ("a", 1)]


def test_another_protocol_and_one_device_too_many_are_turned_away(rig, device):
    world = rig(wanted=5, max_devices=2).add(device("a"), device("b"), device("c")).pump()
    assert world.coordinator.online == 2
    world.say("a", Hello(2, 2, 256, 1, ""))
    assert world.refusals() == {Reason.FOREIGN: 1, Reason.UNSUPPORTED: 1}


def test_a_round_goes_on_without_those_who_are_gone(rig, device):
    world = rig(wanted=4, rounds=2, quorum=0.5, deadline=10.0)
    world.add(*(device(name) for name in "abcd"))
    world.gone = {"c", "d"}
    world.pump()
    assert world.records == []
    world.wait(10.0)
    assert [(r.number, r.accepted, r.cohort) for r in world.records] == [(1, 2, 4)]
    for name in "cd":
        world.raw(f"microfed/v1/lab/d/{name}/state", encode(Presence(1, Status.LOST)))
    world.wait(9.0)
    assert len(world.records) == 1 or world.records[1].cohort == 4
    world.wait(1.0)
    world.wait(10.0)
    assert world.course.finished


def test_declined_members_are_counted_and_not_waited_for(rig, device):
    world = rig(wanted=3, rounds=1, quorum=0.6)
    world.add(device("a"), device("b"), device("c", declines=True)).pump()
    assert [(r.accepted, r.declined, r.cohort) for r in world.records] == [(2, 1, 3)]


def test_three_abandoned_rounds_in_a_row_end_the_run_with_an_error(rig, device):
    world = rig(wanted=2, rounds=2).add(device("a", declines=True), device("b", declines=True))
    world.pump()
    for _ in range(3):
        assert world.course.failure is None
        world.wait(10.0)
    assert [(r.number, r.abandoned, r.version) for r in world.records] == [
        (1, True, 0),
        (2, True, 0),
        (3, True, 0),
    ]
    assert isinstance(world.course.failure, QuorumLostError)
    assert "3 rounds in a row" in str(world.course.failure)
    assert "round 3, had 0 of 2" in str(world.course.failure)
    assert world.announced[-1].phase is Phase.WAITING


def test_abandoned_rounds_do_not_count_and_a_closed_one_forgives(rig, device):
    world = rig(wanted=1, rounds=1, deadline=5.0).add(device("a"))
    world.gone = {"a"}
    world.pump().wait(5.0)
    world.wait(5.0)
    assert [r.abandoned for r in world.records] == [True, True]
    world.gone = set()
    world.up("a", world.devices["a"].connect())
    world.pump()
    assert [r.abandoned for r in world.records] == [True, True, False]
    assert (world.course.finished, world.course.failure) == (True, None)


def test_a_new_session_of_the_aggregator_makes_everybody_say_hello(rig, device):
    world = rig(wanted=2, rounds=2).add(device("a"), device("b"))
    world.pump(until=lambda: world.coordinator.online == 2)
    world.queue.clear()  # the broker was restarted, and forgot
    world.coordinator.connected(world.store.next_session(), world.now)
    assert world.coordinator.online == 0
    world.pump()
    assert world.course.finished


def test_bytes_are_those_of_the_payloads(rig, device):
    world = rig(wanted=1, rounds=1, start=False)
    received, sent, retained = [], [], []
    publish = world.publish

    def weigh(topic, payload, *, retain):
        if not retain:
            sent.append(len(payload))
        elif topic.endswith("/a/round"):
            retained.append(
                len(payload) * world.coordinator.online if hasattr(world, "coordinator") else 0
            )
        return publish(topic, payload, retain=retain)

    raw = world.raw

    def count(topic, payload):
        received.append(len(payload))
        raw(topic, payload)

    world.publish, world.raw = weigh, count
    world.start().add(device("a")).pump()
    totals = world.post.totals
    assert totals.bytes_up == sum(received)
    waiting = len(encode(world.announced[0]))  # the retained one, at its birth
    assert totals.bytes_down == sum(sent) + sum(retained) + waiting
    assert (world.records[0].bytes_up, world.records[0].bytes_down) <= (
        totals.bytes_up,
        totals.bytes_down,
    )


def test_a_round_is_on_disk_before_it_is_announced(rig, device):
    world = rig(wanted=1, rounds=2, start=False)
    publish, stages = world.publish, []

    def look(topic, payload, *, retain):
        if topic.endswith("/a/round"):
            assert not world.store.dirty
            rows = world.store._db.execute("SELECT number, stage FROM rounds ORDER BY number")
            stages.append(rows.fetchall())
        return publish(topic, payload, retain=retain)

    world.publish = look
    world.start().add(device("a")).pump()
    assert stages == [
        [],
        [(1, "open")],
        [(1, "closed"), (2, "open")],
        [(1, "closed"), (2, "closed")],
    ]
