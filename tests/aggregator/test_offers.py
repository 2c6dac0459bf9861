"""What the coordinator makes of an offer, and the verdict that it gives on it."""

from dataclasses import replace

import numpy as np
import pytest

from aggregator.records import read_record
from tests.aggregator.conftest import asking, tasks
from wire.cbor import encode
from wire.messages import Block, Kind, Manifest, Need, Presence, Reason, Status, Verdict
from wire.objects import manifest_of


def honest(world, name="a", **fields):
    """An offer as the device would make it, spoilt by `fields`."""
    member = world.devices[name]
    update = fields.pop("update", None)
    if update is None:
        update = bytes(4 * world.versions.size)
    return member.make_offer(tasks(world, name)[-1], update, **fields)


def inline(world, name, update, **fields):
    """An offer that carries `update` whatever its size."""
    return honest(world, name, update=update, data=update, **fields)


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
