"""What the devices of a process share in memory, and what each must have for itself."""

import numpy as np
import pytest

from device_sim.events import Train
from device_sim.models import Models
from device_sim.twin import Twin
from wire.difference import encode_difference
from wire.messages import Kind
from wire.objects import manifest_of


@pytest.fixture
def models():
    return Models(Twin, 2**20)


@pytest.fixture
def holders(bench, world, models):
    """holders(1, 2) are devices of one process that hold these versions, and have nothing to do."""

    def make(*versions):
        made = [bench(models=models) for _ in versions]
        for device, version in zip(made, versions, strict=True):
            objects = (world.base, *([world.difference(0, version)] if version else []))
            device.pull(world, device.hear(world.task(1, version, objects=objects)))
            device.done.clear()
        return made

    return make


def bringing(world, version, *manifests):
    """A task of round 2 with these objects inside."""
    data = b"".join(world.objects[manifest.id] for manifest in manifests)
    return world.task(2, version, objects=manifests, data=data)


def trained_from(device):
    return [(t.model.version, t.model.weights.codes.tolist()) for t in device.did(Train)]


def test_a_task_leads_on_only_those_that_hold_what_it_begins_with(holders, world):
    at_2, at_1 = holders(2, 1)
    task = bringing(world, 3, world.difference(2, 3))
    at_2.hear(task)
    at_1.hear(task)
    assert at_2.device.job.task is at_1.device.job.task, "a cohort is told once"
    assert trained_from(at_2) == [(3, world.codes[3].codes.tolist())]
    assert (at_1.device.model.version, trained_from(at_1)) == (1, [])
    assert at_1.refusals == ["task: out of step"]


def test_each_task_leads_those_that_hold_the_same_to_its_own_version(holders, world):
    one, other = holders(0, 0)
    one.hear(bringing(world, 1, world.difference(0, 1)))
    other.hear(bringing(world, 2, world.difference(0, 2)))
    assert trained_from(one) == [(1, world.codes[1].codes.tolist())]
    assert trained_from(other) == [(2, world.codes[2].codes.tolist())]


def test_a_way_is_known_again_when_its_model_comes_back_on_another_path(models, world):
    start = models.base(world.packed, world.base, world.digest)
    task = bringing(world, 2, world.difference(0, 2))

    def through(*manifests):
        model = start
        for manifest in manifests:
            model = models.advance(model, world.objects[manifest.id], manifest)
        return model

    model = through(world.difference(0, 1), world.difference(1, 2))
    assert through(*task.objects) is model
    models.remember(start, task, model)
    del model
    assert models.led(start, task) is None, "nobody holds it"
    model = through(*task.objects)
    models.remember(start, task, model)
    assert models.led(start, task) is model


def test_versions_that_only_their_checks_confuse_are_two(models, world, monkeypatch):
    monkeypatch.setattr("device_sim.models.check_of", lambda codes: 7)
    start = models.base(world.packed, world.base, world.digest)
    reached = []
    for codes in world.codes[1:3]:
        data = encode_difference(world.codes[0], codes, world.frame)
        reached.append(models.advance(start, data, manifest_of(Kind.DIFFERENCE, data, 0, 1)))
    one, other = reached
    assert (one.version, one.check) == (other.version, other.check) == (1, 7)
    np.testing.assert_array_equal(one.weights.codes, world.codes[1].codes)
    np.testing.assert_array_equal(other.weights.codes, world.codes[2].codes)
