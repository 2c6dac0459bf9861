"""The work of a task, from the held model to coded bytes."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from core.library import present
from core.pool import Pool
from device_sim.local_update import LocalUpdate, training_seed
from device_sim.models import DamagedError, Models
from device_sim.native import Native
from device_sim.shard import Shard
from device_sim.trainer import DivergedError
from device_sim.twin import Twin
from tflite_models.parameters import Weights, requantize, to_float
from tflite_models.scope import ALL, named_scopes, scope_of
from wire.codec import CODECS
from wire.errors import CodecError
from wire.messages import Kind
from wire.objects import manifest_of


@pytest.fixture
def models():
    return Models(Twin, 2**20)


@pytest.fixture
def shard(rng):
    return Shard(rng.random((24, 8, 8, 1), np.float32), rng.integers(0, 5, 24))


def test_the_same_task_gives_the_same_bytes_and_another_device_others(models, shard, world):
    model, task = models.base(world.packed, world.base, world.digest), world.task()
    once, again = (LocalUpdate(model, shard, task, "dev-1")() for _ in range(2))
    assert once == again
    assert LocalUpdate(model, shard, task, "dev-2")().data != once.data
    assert LocalUpdate(model, shard, replace(task, seed=8), "dev-1")().data != once.data


def test_an_update_is_the_coded_change_of_the_unmasked_weights(models, shard, world):
    model, layout = models.base(world.packed, world.base, world.digest), world.layout
    update = LocalUpdate(model, shard, replace(world.task(), codec="float32"), "dev-1")()
    sent = CODECS["float32"].decode(
        update.data, int(layout.mask.sum()), scope_of(layout, ALL).bounds
    )
    seed = training_seed("dev-1", world.task().seed)
    trained = Twin(*graph_and_layout(world)).train(
        to_float(layout, Weights(*world.codes[0])), shard.x, shard.y, world.task().recipe, seed
    )
    before = to_float(layout, Weights(*world.codes[0]))
    np.testing.assert_array_equal(sent, (trained.weights - before)[layout.mask])
    assert (update.samples, update.loss_before) == (24, trained.loss_before)
    assert update.loss_after < update.loss_before


@pytest.mark.skipif(not present(), reason="the C core is not compiled")
@pytest.mark.parametrize("codec", ["peaks", "float32", "topk"])
@pytest.mark.parametrize("budget", [0, 2, 9])
def test_the_threads_of_the_core_give_the_same_bytes(codec, budget, shard, world):
    model = Models(Native, 2**20).base(world.packed, world.base, world.digest)
    pool = Pool(2)
    for bits in named_scopes(world.layout).values():
        recipe = replace(world.task().recipe, trains=bits)
        task = replace(world.task(), recipe=recipe, codec=codec, budget=budget)
        work = LocalUpdate(model, shard, task, "dev-1")
        pool.give(work.begin(), work)
        training, given = pool.take()
        assert given is work
        update, alone = given.finish(training), work()
        assert update.data == alone.data
        assert (update.samples, update.loss_before, update.loss_after) == (
            *(24, alone.loss_before, alone.loss_after),
        )
    pool.close()


def in_the_core(work):
    """A work whose training a thread of the core's does; its rest is this one's."""
    pool = Pool(1)
    pool.give(work.begin(), None)
    training, _ = pool.take()
    pool.close()
    return work.finish(training)


@pytest.mark.skipif(not present(), reason="the C core is not compiled")
def test_the_threads_of_the_core_train_each_version_from_its_own_weights(shard, world):
    models, difference = Models(Native, 2**20), world.difference(0, 1)
    start = models.base(world.packed, world.base, world.digest)
    later = models.advance(start, world.objects[difference.id], difference)
    assert later.base.trainer is start.base.trainer
    works = [LocalUpdate(model, shard, world.task(), "dev-1") for model in (start, later)]
    one, other = (in_the_core(work) for work in works)
    assert (one.data, other.data) == tuple(work().data for work in works)
    assert one.loss_before != other.loss_before


@pytest.mark.skipif(not present(), reason="the C core is not compiled")
@pytest.mark.parametrize(
    ("rate", "error", "what"),
    [(1e9, CodecError, "magnitudes below"), (3e38, DivergedError, "not finite")],
)
def test_what_cannot_be_coded_or_trained_says_the_same_from_either(rate, error, what, shard, world):
    model = Models(Native, 2**20).base(world.packed, world.base, world.digest)
    recipe = replace(world.task().recipe, learning_rate=rate, epochs=9, momentum=0.9)
    work = LocalUpdate(model, shard, replace(world.task(), recipe=recipe, codec="peaks"), "dev-1")
    with pytest.raises(error, match=what) as alone:
        work()
    with pytest.raises(error, match=re.escape(str(alone.value))):
        in_the_core(work)


@pytest.mark.skipif(not present(), reason="the C core is not compiled")
@pytest.mark.parametrize("codec", ["peaks", "float32"])
def test_a_training_that_diverged_in_the_core_is_not_done_again(codec, shard, world, monkeypatch):
    def again(*_):
        pytest.fail("it was trained a second time")

    monkeypatch.setattr(Native, "train", again)
    model = Models(Native, 2**20).base(world.packed, world.base, world.digest)
    recipe = replace(world.task().recipe, learning_rate=3e38, epochs=9, momentum=0.9)
    with pytest.raises(DivergedError, match="not finite"):
        in_the_core(
            LocalUpdate(model, shard, replace(world.task(), recipe=recipe, codec=codec), "d")
        )


def graph_and_layout(world):
    from tflite_models.graph import read_graph

    return read_graph(world.file), world.layout


def test_a_version_reached_in_steps_is_the_one_reached_at_once(models, world):
    start = models.base(world.packed, world.base, world.digest)

    def through(*versions):
        model = start
        for source, target in pairwise(versions):
            manifest = world.difference(source, target)
            model = models.advance(model, world.objects[manifest.id], manifest)
        return model

    stepwise, at_once = through(0, 1, 2, 3), through(0, 3)
    assert stepwise.version == at_once.version == 3
    np.testing.assert_array_equal(stepwise.weights.codes, at_once.weights.codes)
    np.testing.assert_array_equal(stepwise.floats, at_once.floats)


def test_a_model_is_forgotten_with_the_last_who_holds_it(models, world):
    model = models.base(world.packed, world.base, world.digest)
    assert models.base(world.packed, world.base, world.digest) is model
    assert len(models._models) == 1
    del model
    assert len(models._models) == 0


def test_what_does_not_unpack_or_apply_is_damaged(models, world):
    noise = b"no deflate stream"
    with pytest.raises(DamagedError):
        models.base(noise, manifest_of(Kind.BASE, noise), world.digest)
    with pytest.raises(DamagedError):
        models.base(world.packed, world.base, bytes(32))
    with pytest.raises(DamagedError):
        Models(Twin, len(world.file) - 1).base(world.packed, world.base, world.digest)
    model = models.base(world.packed, world.base, world.digest)
    with pytest.raises(DamagedError):
        models.advance(model, b"no difference", world.difference(0, 1))


def test_the_scales_of_a_later_version_are_applied(models, world):
    """Codes and scales both come from the difference; floats are their product."""
    from wire.difference import Codes, Frame, encode_difference
    from wire.messages import Kind
    from wire.objects import manifest_of

    layout, old = world.layout, world.codes[0]
    master = to_float(layout, Weights(*old)).astype(np.float64) * 3
    new = requantize(layout, master, old.scales)
    data = encode_difference(old, Codes(new.codes, new.scales), Frame(layout.mask, layout.channels))
    model = models.base(world.packed, world.base, world.digest)
    later = models.advance(model, data, manifest_of(Kind.DIFFERENCE, data, 0, 1))
    np.testing.assert_array_equal(later.floats, to_float(layout, new))
    assert not np.array_equal(new.scales, old.scales)
