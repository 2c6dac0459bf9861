"""A device's life, message by message."""

from dataclasses import replace
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
    Tick,
    Topic,
    Train,
    Trained,
    Unanswered,
    Update,
)
from device_sim.state import nonce_of
from wire.cbor import encode
from wire.difference import check_of
from wire.messages import (
    Block,
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
    Verdict,
)
from wire.objects import manifest_of


def verdict_on(offer, reason=Reason.ACCEPTED):
    return Verdict(offer.round, offer.nonce, reason)


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


def test_the_next_round_brings_only_a_difference(ready, world):
    [need] = ready.hear(world.task(2, 2, objects=(world.difference(0, 2),)))
    ready.pull(world, [need])
    [train] = ready.did(Train)
    assert train.model.weights.codes.tolist() == world.codes[2].codes.tolist()


def with_objects_inside(world, *manifests):
    """A task for version 1 that brings these objects."""
    task = world.task(1, 1, objects=manifests)
    return replace(task, data=b"".join(world.objects[m.id] for m in manifests))


def test_objects_inside_a_task_need_not_be_pulled(bench, world):
    device = bench()
    assert device.hear(with_objects_inside(world, world.base, world.difference(0, 1))) == []
    [train] = device.did(Train)
    assert train.model.weights.codes.tolist() == world.codes[1].codes.tolist()
    assert device.refusals == []


def test_the_same_task_with_and_without_objects_inside_trains_once(bench, world):
    device = bench()
    task = with_objects_inside(world, world.base, world.difference(0, 1))
    [need] = device.hear(replace(task, data=b""))
    device.hear(*world.blocks(need)[:3])
    assert device.hear(task) == []
    assert device.hear(replace(task, data=b"")) == []
    assert len(device.did(Train)) == 1


@pytest.mark.parametrize("spoil", [lambda data: data[:-1] + b"!", lambda data: data + b"!"])
def test_an_object_that_is_damaged_inside_a_task_is_pulled(bench, world, spoil):
    device = bench()
    task = with_objects_inside(world, world.base)
    [need] = device.hear(replace(task, data=spoil(task.data)))
    assert need.id == world.base.id
    task = world.task(1, 1, objects=(world.base, world.difference(0, 1)))
    device.pull(world, device.hear(task))
    assert len(device.did(Train)) == 1


def test_two_devices_share_one_model_in_memory(bench, world):
    device = bench()
    twins = [device, bench(models=device.device.traits.models)]
    for each in twins:
        each.pull(world, each.hear(world.task(1, 1, objects=(world.base, world.difference(0, 1)))))
    one, other = (each.did(Train)[0].model for each in twins)
    assert one is other


def test_a_large_update_is_served_in_blocks(ready, world):
    ready.hear(world.task())
    update = bytes(range(256)) * 3
    [offer] = ready.train(update)
    assert offer.data == b""
    blocks = ready.hear(Need(offer.manifest.id, 200, 1, b"\x05"))
    assert [(b.index, b.total, b.data) for b in blocks] == [
        (1, 4, update[200:400]),
        (3, 4, update[600:]),
    ]


def test_a_download_resumes_after_a_reconnect_with_what_is_missing(bench, world):
    device = bench()
    device.hear(world.announce())
    task = world.task(objects=(world.base,))
    [need] = device.hear(task)
    assert device.hear(*world.blocks(need, kept=lambda index: index not in (2, 5))) == []
    device.feed(Lost())
    assert device.device.wake is None
    state, hello = device.connect()
    assert (state.session, hello.base) == (2, b"")
    [need] = device.hear(task)
    # Blocks 2 and 5, and 6 more from 8 on.
    assert (need.first, need.bitmap) == (2, bytes([0b11001001, 0b00001111]))
    device.pull(world, [need])
    assert len(device.did(Train)) == 1
    assert device.refusals == []


def test_a_download_outlives_its_round(bench, world):
    device = bench()
    [need] = device.hear(world.task(1, objects=(world.base,)))
    device.hear(*world.blocks(need))
    device.hear(world.announce(2))
    [need] = device.hear(world.task(2, objects=(world.base,)))
    assert need.first == 8


def test_blocks_that_do_not_come_are_asked_for_again_with_growing_patience(bench, world):
    device = bench()
    device.hear(world.announce())
    [first] = device.hear(world.task(objects=(world.base,), deadline=1000))
    device.device = device.device._replace(hello=None)
    times = [device.now]
    for _ in range(6):
        assert device.wait() == [first]
        times.append(device.now)
    waits = [after - before for before, after in pairwise(times)]
    assert waits == [2, 4, 8, 16, 30, 30]


def test_a_download_ends_with_its_round(bench, world):
    device = bench()
    device.hear(world.announce())
    device.hear(world.task(objects=(world.base,), deadline=1))
    assert device.wait() == []
    assert device.device.job is None
    assert [type(m) for m in device.wait()] == [Hello]  # if it goes on after all, here we are


def test_repeated_blocks_change_nothing(bench, world):
    device = bench()
    [need] = device.hear(world.task(objects=(world.base,)))
    blocks = world.blocks(need)
    assert device.hear(*blocks[:3], *blocks[:3]) == []
    assert device.refusals == ["block: repeated"] * 3
    device.pull(world, device.hear(*blocks[3:]))
    assert len(device.did(Train)) == 1


def test_a_damaged_block_is_not_taken(bench, world):
    device = bench()
    [need] = device.hear(world.task(objects=(world.base,)))
    good = world.blocks(need)[0]
    for bad in (
        replace(good, data=bytes(256)),
        replace(good, crc=good.crc ^ 1),
        replace(good, total=good.total + 1),
        replace(good, index=good.total),
        replace(good, data=good.data[:-1]),
    ):
        assert device.hear(bad) == []
    assert device.refusals == ["block: damaged"] * 5
    device.pull(world, device.hear(*world.blocks(need)))
    assert len(device.did(Train)) == 1


def test_a_block_of_another_object_is_not_taken(bench, world):
    device = bench()
    device.hear(Block(bytes(8), 0, 1, 0, b"?"))
    device.hear(world.task(objects=(world.base,)))
    device.hear(Block(bytes(8), 0, 1, 0, b"?"))
    assert device.refusals == ["block: not asked for"] * 2


def test_an_object_with_the_wrong_digest_is_pulled_three_times_and_then_declined(bench, world):
    device = bench()
    liar = replace(world.base, digest=world.base.digest[:8] + bytes(24))
    answers = device.hear(world.task(objects=(liar,)))
    assert device.pull(world, answers) == [Decline(1, Refusal.FAILED)]
    assert device.refusals == ["object: damaged"] * 3
    assert device.did(Train) == []


def test_a_base_file_that_is_not_the_one_named_is_declined(bench, world):
    device = bench()
    task = replace(world.task(objects=(world.base,)), base=bytes(32))
    assert device.pull(world, device.hear(task)) == [Decline(1, Refusal.FAILED)]


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


def test_a_base_that_is_no_model_is_declined_as_unsupported(bench, world):
    from hashlib import sha256

    from wire.base import pack_base

    device = bench()
    packed = pack_base(b"not a model")
    manifest = manifest_of(Kind.BASE, packed)
    world.objects[manifest.id] = packed
    task = replace(world.task(objects=(manifest,)), base=sha256(b"not a model").digest())
    assert device.pull(world, device.hear(task)) == [Decline(1, Refusal.UNSUPPORTED)]


def test_a_lost_decline_is_said_again_after_the_next_hello(bench, world):
    device = bench(samples=0)
    device.hear(world.announce())
    device.hear(world.task())
    [hello] = device.wait()
    assert isinstance(hello, Hello)
    assert device.hear(world.task()) == [Decline(1, Refusal.NO_DATA)]


def test_an_offer_is_repeated_unchanged_until_there_is_a_verdict(ready, world):
    ready.hear(world.task())
    [offer] = ready.train()
    assert ready.wait() == [offer]
    assert ready.hear(world.task()) == [offer]
    ready.feed(Lost())
    ready.connect()
    assert ready.wait() == [offer]
    ready.hear(verdict_on(offer))
    ready.feed(Tick())
    assert ready.hear(world.task()) == []
    assert ready.refusals == ["task: repeated"]
    assert len(ready.did(Train)) == 1


def test_a_verdict_counts_once(ready, world):
    ready.hear(world.task())
    [offer] = ready.train()
    ready.hear(verdict_on(offer), verdict_on(offer))
    assert len(ready.did(Judged)) == 1
    assert ready.refusals == ["verdict: nothing to judge"]


def test_a_refused_update_is_not_offered_again(ready, world):
    ready.hear(world.task())
    [offer] = ready.train()
    ready.hear(verdict_on(offer, Reason.LATE))
    assert ready.did(Judged) == [Judged(1, offer.nonce, Reason.LATE)]
    assert ready.device.wake is None


def test_an_update_that_is_ready_while_offline_is_offered_after_the_reconnect(ready, world):
    ready.hear(world.task())
    ready.feed(Lost())
    assert ready.train() == []
    assert [type(m) for m in ready.connect()] == [Presence, Hello]
    [offer] = ready.wait()
    assert (offer.round, offer.data) == (1, b"update")


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


def test_a_late_verdict_is_heard_though_the_next_round_has_begun(ready, world):
    ready.hear(world.task(1))
    [offer] = ready.train()
    bare = replace(offer, data=b"")
    assert ready.hear(world.task(2)) == [bare]
    assert ready.wait() == [bare]
    ready.hear(verdict_on(offer))
    assert ready.did(Judged) == [Judged(1, offer.nonce, Reason.ACCEPTED)]
    assert ready.device.unsettled == ()


def test_a_device_that_was_away_at_the_end_still_asks_for_its_verdict(ready, world):
    ready.hear(world.task(1))
    [offer] = ready.train()
    ready.hear(world.announce(1, Phase.FINISHED))
    ready.feed(Lost())
    ready.now += 60
    assert ready.connect()[-1] == replace(offer, data=b"")
    ready.feed(Tick())
    assert ready.did(Leave) == []
    ready.hear(verdict_on(offer))
    assert ready.did(Leave) == [Leave()]


def test_an_offer_is_not_repeated_while_its_blocks_are_being_asked_for(ready, world):
    ready.hear(world.task())
    [offer] = ready.train(bytes(1000))
    for index in range(3):
        ready.now += 1.5
        [block] = ready.hear(Need(offer.manifest.id, 256, index, b"\x01"))
        assert block.index == index
        assert ready.feed(Tick()) == []
    assert ready.wait() == [offer]


def test_only_a_few_unanswered_offers_are_remembered_and_the_rest_is_reported(ready, world):
    for number in range(1, 8):
        ready.hear(world.task(number))
        ready.train()
    assert [offer.round for offer in ready.device.unsettled] == [3, 4, 5, 6]
    assert [effect.round for effect in ready.did(Unanswered)] == [1, 2]
    ready.feed(Stop())
    assert [effect.round for effect in ready.did(Unanswered)] == [1, 2, 3, 4, 5, 6, 7]


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


def test_a_task_for_a_model_that_cannot_be_reached_is_answered_with_a_hello(ready, world):
    task = world.task(1, 3, objects=(world.difference(1, 3),))
    [hello] = ready.hear(task)
    assert (hello.base, hello.version) == (world.digest, 0)
    assert ready.hear(task) == []  # not a Hello for each: that could go on for ever
    ready.pull(world, ready.hear(world.task(1, 3, objects=(world.difference(0, 3),))))
    assert [train.model.version for train in ready.did(Train)] == [3]


def holding_version_2(ready, world):
    """`ready`, having come to version 2."""
    ready.pull(world, ready.hear(world.task(1, 2, objects=(world.difference(0, 2),))))
    ready.device = ready.device._replace(job=None)
    ready.done.clear()
    return ready


def trained_from(device):
    return [(t.model.version, t.model.weights.codes.tolist()) for t in device.did(Train)]


def test_a_device_says_which_version_of_that_number_it_holds(ready, world):
    holding_version_2(ready, world).feed(Lost())
    hello = ready.connect()[-1]
    assert (hello.version, hello.check) == (2, check_of(world.codes[2]))


def test_a_version_of_another_run_is_given_up_for_the_base_file(ready, world):
    device = holding_version_2(ready, world)
    [need] = device.hear(world.task(2, 2, check=99, objects=(world.difference(0, 1),)))
    assert need.id == world.difference(0, 1).id
    device.hear(world.task(3, 0))
    assert trained_from(device) == [(0, world.codes[0].codes.tolist())]


def test_another_versions_difference_is_not_trained_on(ready, world):
    device = holding_version_2(ready, world)
    task = world.task(2, 3, check=99, objects=(world.difference(2, 3),))
    [hello] = device.pull(world, device.hear(task))
    assert (hello.base, hello.version, hello.check) == (world.digest, 0, 0)
    assert (device.refusals[0], device.did(Train)) == ("object: damaged", [])
    device.pull(world, device.hear(world.task(3, 3, objects=(world.difference(0, 3),))))
    assert trained_from(device) == [(3, world.codes[3].codes.tolist())]


def test_differences_that_never_give_the_tasks_version_are_declined(ready, world):
    task = world.task(2, 3, check=99, objects=(world.difference(0, 3),))
    assert ready.pull(world, ready.hear(task)) == [Decline(2, Refusal.FAILED)]
    assert ready.refusals == ["object: damaged"] * 3


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


def test_a_device_hears_the_last_verdict_before_it_leaves(ready, world):
    ready.hear(world.task(1))
    [offer] = ready.train()
    assert ready.hear(world.announce(1, Phase.FINISHED)) == [replace(offer, data=b"")]
    assert ready.did(Leave) == []
    assert ready.hear(verdict_on(offer)) == [Presence(1, Status.SLEEPING)]
    assert ready.did(Leave) == [Leave()]


def test_a_device_leaves_though_nobody_answers(ready, world):
    ready.hear(world.task(1))
    ready.train()
    ready.hear(world.announce(1, Phase.FINISHED))
    start = ready.now
    while not ready.did(Leave):
        ready.wait()
    assert ready.now - start == 3
    [offer, *_] = [e.message for e in ready.did(Publish) if isinstance(e.message, Offer)]
    assert ready.did(Unanswered) == [Unanswered(1, offer.nonce)]


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


def test_blocks_larger_than_the_buffer_are_not_served(ready, world):
    ready.hear(world.task())
    [offer] = ready.train(bytes(1000))
    assert ready.hear(Need(offer.manifest.id, 257, 0, b"\x01")) == []
    assert ready.refusals == ["need: block too large"]


def test_the_same_task_gives_the_same_nonce_and_another_device_another(world):
    task = world.task(3)
    assert nonce_of("a", task) == nonce_of("a", replace(task, objects=(world.base,), deadline=1))
    names = {nonce_of("a", task), nonce_of("b", task), nonce_of("a", replace(task, seed=8))}
    assert len(names) == 3
