"""How a device comes to a task's version of the model, block by block."""

from dataclasses import replace
from itertools import pairwise

import pytest

from device_sim.events import Lost, Train
from wire.difference import check_of
from wire.messages import Block, Decline, Hello, Kind, Need, Refusal
from wire.objects import manifest_of


def test_the_next_round_brings_only_a_difference(ready, world):
    [need] = ready.hear(world.task(2, 2, objects=(world.difference(0, 2),)))
    ready.pull(world, [need])
    [train] = ready.did(Train)
    assert train.model.weights.codes.tolist() == world.codes[2].codes.tolist()


def with_objects_inside(world, *manifests):
    """A task for version 1 that brings these objects."""
    return with_objects_of(world, world.task(1, 1, objects=manifests))


def with_objects_of(world, task):
    """A task that brings the objects that it names."""
    return replace(task, data=b"".join(world.objects[m.id] for m in task.objects))


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


def test_a_base_that_is_no_model_is_declined_as_unsupported(bench, world):
    from hashlib import sha256

    from wire.base import pack_base

    device = bench()
    packed = pack_base(b"not a model")
    manifest = manifest_of(Kind.BASE, packed)
    world.objects[manifest.id] = packed
    task = replace(world.task(objects=(manifest,)), base=sha256(b"not a model").digest())
    assert device.pull(world, device.hear(task)) == [Decline(1, Refusal.UNSUPPORTED)]


def test_a_task_for_a_model_that_cannot_be_reached_is_answered_with_a_hello(ready, world):
    task = world.task(1, 3, objects=(world.difference(1, 3),))
    [hello] = ready.hear(task)
    assert (hello.base, hello.version) == (world.digest, 0)
    assert ready.hear(task) == []  # not a Hello for each: that could go on for ever
    ready.pull(world, ready.hear(world.task(1, 3, objects=(world.difference(0, 3),))))
    assert [train.model.version for train in ready.did(Train)] == [3]


def leading_elsewhere(world):
    """A task for version 2 whose objects end at version 1."""
    return world.task(1, 2, objects=(world.base, world.difference(0, 1)))


def test_objects_inside_a_task_that_lead_elsewhere_are_applied_once(bench, world):
    device, task = bench(), leading_elsewhere(world)
    [hello] = device.hear(with_objects_of(world, task))
    assert (hello.base, hello.version) == (world.digest, 1)
    assert device.refusals == ["task: out of step"]
    assert device.did(Train) == []


def test_objects_in_blocks_that_lead_elsewhere_are_pulled_once(bench, world):
    device, task = bench(), leading_elsewhere(world)
    answers, asked = device.hear(task), []
    while isinstance(answers[-1], Need) and len(asked) < 100:
        asked.append(answers[-1])
        answers = device.hear(*world.blocks(answers[-1]))
    assert {need.id for need in asked} == {manifest.id for manifest in task.objects}
    [hello] = answers
    assert (hello.base, hello.version) == (world.digest, 1)
    assert device.refusals == ["task: out of step"]
    assert device.did(Train) == []


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
