"""What the coordinator asks of a device: to train, and to pull what it lacks."""

import pytest

from aggregator.versions import Held
from tests.aggregator.conftest import tasks
from wire.cbor import encode
from wire.messages import Hello, Kind, Need, Reason, Task


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
    objects = world.versions.objects_for(Held(base, version, check ^ len(other)), 2)
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


def test_needs_for_what_is_not_on_offer_and_needs_of_strangers_are_refused(asked):
    asked.say("a", Need(b"????????", 256, 0, b"\x01"))
    assert asked.refusals() == {Reason.STALE: 1}
    digest = asked.versions.objects_for(Held(b"", 0, 0), 0)[0].id
    assert asked.say("nobody", Need(digest, 256, 0, b"\x01")) == []
    assert asked.refusals() == {Reason.STALE: 1, Reason.FOREIGN: 1}
    [block] = asked.say("a", Need(digest, 256, 1, b"\x01"))
    assert (block.index, len(block.data)) == (1, 256)


def test_the_learning_rate_decays_with_every_version(rig, device):
    world = rig(wanted=1, rounds=3, learning_rate=0.5, decay=0.5).add(device("a")).pump()
    assert [t.recipe.learning_rate for t in tasks(world, "a")] == [0.5, 0.25, 0.125]
