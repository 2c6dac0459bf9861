from dataclasses import replace

import numpy as np
import pytest

from aggregator.errors import QuorumLostError
from aggregator.records import read_record
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, to_float, weights_of
from wire.cbor import encode
from wire.messages import (
    Announce,
    Block,
    Decline,
    Hello,
    Kind,
    Manifest,
    Need,
    Phase,
    Presence,
    Reason,
    Refusal,
    Status,
    Task,
    Verdict,
)
from wire.objects import manifest_of


def tasks(rig, name):
    return [message for to, message in rig.sent if to == name and isinstance(message, Task)]


def asking(rig, device, **settings):
    """A rig with a round open for `a` and `b`, who hold the model; what they offered is forgotten."""
    world = rig(wanted=2, codec="float32", **settings).add(device("a"), device("b"))
    silent = {"a", "b"}
    world.pump(until=lambda: all(world.devices[name].layout for name in silent))
    world.queue.clear()
    world.coordinator._transfers.clear()
    return world


@pytest.fixture
def asked(rig, device):
    """The same, as the default settings have it."""
    return asking(rig, device)


def honest(world, name="a", **fields):
    """An offer as the device would make it, spoilt by `fields`."""
    member = world.devices[name]
    update = fields.pop("update", None)
    if update is None:
        update = bytes(4 * world.versions.size)
    return member.make_offer(tasks(world, name)[-1], update, **fields)


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


def test_a_hello_said_twice_in_a_breath_gets_one_task_and_one_said_later_another(asked):
    assert len(tasks(asked, "a")) == 1
    member = asked.devices["a"]
    hello = Hello(1, 1, 256, 10, "test", member.base, member.version)
    assert asked.say("a", hello) == []
    asked.now += 2.0
    assert [type(m) for m in asked.say("a", hello)] == [Task]


def test_a_device_pulls_a_difference_in_every_round_and_the_base_once(rig, device):
    world = rig(wanted=2, rounds=3).add(device("a"), device("b", buffer=4096)).pump()
    for name in "ab":
        pulled = [[(m.source, m.target) for m in task.objects] for task in tasks(world, name)]
        assert pulled == [[(0, 0)], [(0, 1)], [(1, 2)]]


@pytest.mark.parametrize(("block", "inside"), [(1024, False), (8192, True)])
def test_objects_ride_along_where_a_block_would_hold_them(rig, device, block, inside):
    small, large = device("small", buffer=1024), device("large", buffer=8192)
    world = rig(wanted=2, rounds=3, block=block).add(small, large).pump()
    assert world.course.finished
    for name, brought in (("small", False), ("large", inside)):
        base, *differences = tasks(world, name)
        assert bool(base.data) == brought
        assert all(task.data for task in differences), "they are shorter than a small buffer"
        for task in (base, *differences):
            assert not task.data or len(task.data) == sum(m.size for m in task.objects)
            assert len(encode(task)) <= world.devices[name].buffer + 37


def test_nothing_rides_along_while_the_broker_is_behind(rig, device):
    world = rig(wanted=1, rounds=1, block=8192)
    world.post.crowded = lambda: True
    world.add(device("a", buffer=8192))
    world.post.flush()
    [task] = tasks(world, "a")
    assert task.objects
    assert task.data == b""


def test_a_device_that_holds_the_version_has_nothing_to_pull(asked):
    assert [len(task.objects) for task in tasks(asked, "a")] == [1]
    asked.say("a", Hello(1, 1, 256, 10, "", asked.versions.digest, 0))
    assert tasks(asked, "a")[-1].objects == ()


@pytest.mark.parametrize(
    ("held", "kinds"),
    [
        ((b"", 0), [(Kind.BASE, 0, 0), (Kind.DIFFERENCE, 0, 2)]),
        ((b"another file", 2), [(Kind.BASE, 0, 0), (Kind.DIFFERENCE, 0, 2)]),
        (("base", 0), [(Kind.DIFFERENCE, 0, 2)]),
        (("base", 1), [(Kind.DIFFERENCE, 1, 2)]),
        (("base", 2), []),
        (("base", 1, "of another run"), [(Kind.DIFFERENCE, 0, 2)]),
        (("base", 2, "of another run"), [(Kind.DIFFERENCE, 0, 2)]),
        (("base", 0, "of another run"), [(Kind.DIFFERENCE, 0, 2)]),
        (("base", 7), [(Kind.DIFFERENCE, 0, 2)]),
    ],
)
def test_a_device_is_asked_to_pull_what_it_lacks(rig, device, held, kinds):
    world = rig(wanted=2, rounds=2).add(device("a"), device("b")).pump()
    base, version, *other = held
    base = world.versions.digest if base == "base" else base
    check = world.versions.check(version) if version in (1, 2) else 0
    hello = Hello(9, 1, 256, 1, "", base, version, check ^ len(other))
    objects = world.versions.objects_for(hello, 2)
    assert [(m.kind, m.source, m.target) for m in objects] == kinds
    assert all(world.versions.find(m.id) is not None for m in objects)
    assert world.versions.find(b"????????") is None


def test_devices_that_kept_versions_of_another_run_end_with_those_of_this(rig, device, tmp_path):
    names = "ab"
    former = rig(wanted=2, rounds=3, directory=tmp_path / "former")
    former.add(device("a", samples=1), device("b", samples=9)).pump()
    assert all(former.devices[name].version == 2 for name in names)
    kept = {name: former.devices[name].codes for name in names}

    world = rig(wanted=1, rounds=4).add(device("c"))
    world.pump(until=lambda: world.course.model.version == 2)
    for name in names:  # they join with what they hold
        member = former.devices[name]
        member.task = member.offer = member.aggregator = None
        member.over = member.finished = False
        world.add(member)
    world.pump()
    assert world.course.finished
    assert (kept["a"].codes != world.store.weights(2).codes).any()
    for name in names:
        assert (world.devices[name].codes.codes == world.store.weights(3).codes).all()
        pulled = [[(m.source, m.target) for m in t.objects] for t in tasks(world, name)]
        assert pulled == [[(0, 3)]]


def test_an_offer_from_a_version_of_another_run_is_stale(asked):
    offer = honest(asked, samples=1)
    asked.say("a", replace(offer, check=5))
    assert asked.refusals() == {Reason.STALE: 1}


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"round": 7}, Reason.MALFORMED),
        ({"version": 1}, Reason.STALE),
        ({"codec": "int8"}, Reason.UNSUPPORTED),
        ({"update": bytes(8)}, Reason.MALFORMED),
        ({"update": b"\xff" * 4000}, Reason.TOO_LARGE),
        ({"data": b"!" * 9}, Reason.MALFORMED),
    ],
)
def test_a_spoilt_offer_is_refused_with_its_reason_and_counted(asked, spoilt, reason):
    offer = honest(asked, **spoilt)
    assert asked.say("a", offer) == [Verdict(offer.round, offer.nonce, reason)]
    assert asked.refusals() == {reason: 1}


def test_a_client_that_trains_everything_is_told_that_the_round_is_of_the_head(rig, device):
    """One from before there was a choice: its update may decode, but to values of other tensors."""
    world, head = asking(rig, device, train="head"), bytes([0b110000])
    assert world.devices["a"].task.recipe.trains == head
    right = inline(world, "a", bytes(4 * world.versions.size), trains=head)
    old = replace(right, trains=b"")
    assert world.say("a", old) == [Verdict(1, old.nonce, Reason.UNSUPPORTED)]
    good = inline(world, "b", bytes(4 * world.versions.size), trains=head)
    assert world.say("b", good) == [Verdict(1, good.nonce, Reason.ACCEPTED)]


def inline(world, name, update, **fields):
    """An offer that carries `update` whatever its size."""
    return honest(world, name, update=update, data=update, **fields)


def test_values_that_no_training_gives_are_out_of_range(asked):
    update = np.zeros(asked.versions.size, "<f4")
    update[3] = 65.0
    offer = inline(asked, "a", update.tobytes())
    assert asked.say("a", offer) == [Verdict(1, offer.nonce, Reason.OUT_OF_RANGE)]
    assert asked.refusals() == {Reason.OUT_OF_RANGE: 1}


def test_an_update_that_does_not_hash_to_its_manifest_is_corrupt(asked):
    good = bytes(4 * asked.versions.size)
    offer = inline(asked, "a", good, manifest=manifest_of(Kind.UPDATE, b"x" * len(good)))
    assert asked.say("a", offer) == [Verdict(1, offer.nonce, Reason.CORRUPT)]
    assert asked.refusals() == {Reason.CORRUPT: 1}


def test_a_device_outside_the_cohort_is_told_so(asked, device):
    asked.add(device("late"))
    offer = replace(honest(asked), nonce=b"12345678")
    assert asked.say("late", offer) == [Verdict(1, b"12345678", Reason.FOREIGN)]
    assert asked.refusals() == {Reason.FOREIGN: 1}


def test_an_offer_for_a_round_that_is_over_is_late(rig, device):
    world = rig(wanted=1, rounds=2, cohort=2.0).add(device("a"))
    world.pump(until=lambda: world.course.model.version == 1)
    member = world.devices["a"]
    offer = replace(member.offer, nonce=b"12345678")
    assert world.say("a", offer) == [Verdict(1, b"12345678", Reason.LATE)]
    assert world.refusals() == {Reason.LATE: 1}


def test_a_repeated_offer_gets_its_verdict_again_and_counts_once(asked):
    offer = inline(asked, "a", bytes(4 * asked.versions.size))
    for _ in range(3):
        assert asked.say("a", offer) == [Verdict(1, offer.nonce, Reason.ACCEPTED)]
    assert asked.refusals() == {Reason.DUPLICATE: 2}
    assert asked.coordinator.state.accepted == 1
    assert len(asked.store.payloads(1)) == 1


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


def test_needs_for_what_is_not_on_offer_and_needs_of_strangers_are_refused(asked):
    asked.say("a", Need(b"????????", 256, 0, b"\x01"))
    assert asked.refusals() == {Reason.STALE: 1}
    digest = asked.versions.objects_for(Hello(1, 1, 256, 1, ""), 0)[0].id
    assert asked.say("nobody", Need(digest, 256, 0, b"\x01")) == []
    assert asked.refusals() == {Reason.STALE: 1, Reason.FOREIGN: 1}
    [block] = asked.say("a", Need(digest, 256, 1, b"\x01"))
    assert (block.index, len(block.data)) == (1, 256)


def test_another_protocol_and_one_device_too_many_are_turned_away(rig, device):
    world = rig(wanted=5, max_devices=2).add(device("a"), device("b"), device("c")).pump()
    assert world.coordinator.online == 2
    world.say("a", Hello(2, 2, 256, 1, ""))
    assert world.refusals() == {Reason.FOREIGN: 1, Reason.UNSUPPORTED: 1}


def test_a_large_update_is_pulled_in_blocks_no_larger_than_the_devices_buffer(rig, device):
    world = rig(wanted=2, rounds=1, codec="float32", block=512)
    world.add(device("a", buffer=256), device("b", buffer=4096)).pump()
    needs = {
        name: {m.block for to, m in world.sent if to == name and isinstance(m, Need)}
        for name in "ab"
    }
    assert needs == {"a": {256}, "b": set()}  # b's fits into its offer
    assert world.course.finished


def test_a_pull_survives_a_device_that_vanishes(rig, device):
    world = rig(wanted=1, rounds=1, codec="float32").add(device("a", buffer=256))

    def pulling():
        return any(isinstance(m, Need) for _, m in world.sent)

    world.pump(until=pulling)
    need = world.queue.pop()[1]
    world.queue.clear()
    member = world.devices["a"]
    world.up("a", member.hear(need)[:3])  # three blocks, and it is gone
    world.raw("microfed/v1/lab/d/a/state", encode(Presence(1, Status.LOST)))
    world.wait(3.0)
    world.up("a", member.connect())
    world.pump()
    assert world.course.finished
    resumed = [m.first for _, m in world.sent if isinstance(m, Need)]
    assert resumed[:2] == [0, 3]


def test_a_lost_block_is_asked_for_again_after_a_while(rig, device):
    world = rig(wanted=1, rounds=1, codec="float32").add(device("a", buffer=256))
    member, dropped = world.devices["a"], []
    hear = member.hear

    def lossy(message):
        answers = hear(message)
        if isinstance(message, Need) and not dropped:
            dropped.append(answers.pop(2))
        return answers

    member.hear = lossy
    world.pump()
    assert not world.course.finished
    world.wait(2.1)
    assert world.course.finished
    [(_, block)] = dropped
    assert isinstance(block, Block)


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


def test_the_learning_rate_decays_with_every_version(rig, device):
    world = rig(wanted=1, rounds=3, learning_rate=0.5, decay=0.5).add(device("a")).pump()
    assert [t.recipe.learning_rate for t in tasks(world, "a")] == [0.5, 0.25, 0.125]


def test_the_same_device_may_not_decide_the_size_of_what_is_held_for_it(asked):
    manifest = Manifest(Kind.UPDATE, 16 * 1024 * 1024, bytes(32))
    offer = honest(asked, manifest=manifest, data=b"")
    assert asked.say("a", offer) == [Verdict(1, offer.nonce, Reason.TOO_LARGE)]
    assert len(asked.coordinator._transfers) == 0


def test_a_verdict_waits_until_the_update_is_on_disk(asked):
    offer = inline(asked, "a", bytes(4 * asked.versions.size))
    asked.up("a", [("up", offer)])
    assert not any(isinstance(message, Verdict) for _, message in asked.sent)
    assert read_record(asked.directory).devices[0].accepted == 0
    asked.post.flush()
    assert asked.sent[-1] == ("a", Verdict(1, offer.nonce, Reason.ACCEPTED))
    assert read_record(asked.directory).devices[0].accepted == 1


def test_a_verdict_that_died_with_the_aggregator_is_said_after_the_next_hello(asked):
    offer, member = inline(asked, "a", bytes(4 * asked.versions.size)), asked.devices["a"]
    asked.up("a", [("up", offer)])
    asked.store.commit()
    asked.stop()  # and nothing was sent
    asked.start()
    assert member.verdicts == []
    asked.up("a", [member._hello()])
    asked.pump(until=lambda: member.verdicts)
    assert member.verdicts == [Verdict(1, offer.nonce, Reason.ACCEPTED)]
    assert len(asked.store.payloads(1)) == 1


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
