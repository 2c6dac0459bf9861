"""Partial training: what a recipe names trains, and the rest stays to the bit."""

import asyncio
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aggregator.records import read_record
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from core.train import paths
from device_sim.fleet import run_fleet
from device_sim.local_update import LocalUpdate
from device_sim.models import Models
from device_sim.native import Native
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.trainers import fastest_trainer
from device_sim.twin import Twin
from mqtt_client.memory import MemoryBroker
from tests.device_sim.twin.conftest import read_model
from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of
from tflite_models.scope import named_scopes, scope_of
from wire.codec import CODECS
from wire.messages import Recipe
from wire.settings import WireSettings

ROOT = Path(__file__).parents[2]
FILES = {
    "conv": ROOT / "tests" / "fixtures" / "conv.tflite",
    "dense": ROOT / "tests" / "fixtures" / "dense.tflite",  # half pruned
    "branches": ROOT / "tests" / "device_sim" / "twin" / "digits.tflite",
    "har": ROOT / "tflite_models" / "har" / "model.tflite",
}
RECIPE = Recipe(
    *(2, 10, 0.01, 0.5),  # epochs, batch, learning rate, momentum
    weight_decay=0.01,
    proximal=0.1,
    clip_norm=0.5,
)
ROUNDS = 3


@pytest.fixture(scope="module", params=FILES)
def model(request):
    return read_model(FILES[request.param])


def samples(model, rng):
    x, y = model.inputs(rng, 37)
    return (2 * x - 1).astype(np.float32), y


def test_the_core_trains_each_choice_as_the_twin_does_and_both_leave_the_rest(model, rng):
    x, y = samples(model, rng)
    native = Native(model.graph, model.layout)
    for name, bits in named_scopes(model.layout).items():
        recipe, scope = replace(RECIPE, trains=bits), scope_of(model.layout, bits)
        twin = model.twin.train(model.weights, x, y, recipe, seed=3)
        core = native.train(model.weights, x, y, recipe, seed=3)
        far = np.linalg.norm(twin.weights - model.weights)
        assert np.linalg.norm(core.weights - twin.weights) <= 1e-4 * far, name
        for trained in (twin, core):
            still = trained.weights[~scope.mask].tobytes()
            assert still == model.weights[~scope.mask].tobytes(), name
            assert (trained.weights != model.weights)[scope.mask].mean() > 0.3, name


def test_all_paths_give_the_same_bits_for_each_choice(model, rng):
    x, y = samples(model, rng)
    trainers = [Native(model.graph, model.layout, path=path) for path in paths()]
    for bits in named_scopes(model.layout).values():
        recipe = replace(RECIPE, trains=bits)
        ends = {t.train(model.weights, x, y, recipe, seed=3).weights.tobytes() for t in trainers}
        assert len(ends) == 1


def test_any_tensors_may_be_chosen(model, rng):
    """The first and the last weight tensor, which no name says."""
    x, y = samples(model, rng)
    slots = model.layout.slots
    weights = [i for i, slot in enumerate(slots) if slot.kind == "weight"]
    chosen = [i in (weights[0], weights[-1]) for i in range(len(slots))]
    bits = np.packbits(chosen, bitorder="little").tobytes()
    recipe, scope = replace(RECIPE, trains=bits), scope_of(model.layout, bits)
    twin = model.twin.train(model.weights, x, y, recipe, seed=3).weights
    core = Native(model.graph, model.layout).train(model.weights, x, y, recipe, seed=3).weights
    assert np.linalg.norm(core - twin) <= 1e-4 * np.linalg.norm(twin - model.weights)
    assert (core == model.weights)[~scope.mask].all()


@pytest.mark.parametrize("trainer", [Native, Twin])
@pytest.mark.parametrize("bits", [b"\x00", b"\x80", b"\x01\x01"], ids=bytes.hex)
def test_a_recipe_whose_choice_is_not_of_the_model_is_refused(trainer, bits, rng):
    model = read_model(FILES["conv"])
    x, y = samples(model, rng)
    with pytest.raises(ValueError, match=f"trains {bits.hex()}: no"):
        trainer(model.graph, model.layout).train(
            model.weights, x, y, replace(RECIPE, trains=bits), seed=3
        )


def test_an_update_has_the_values_that_train_and_no_others(rng, world):
    models, codec = Models(fastest_trainer, 2**20), CODECS["float32"]
    held = models.base(world.packed, world.base, world.digest)
    shard = Shard(rng.random((24, 8, 8, 1), np.float32), rng.integers(0, 5, 24))
    task = world.task()
    for bits in named_scopes(world.layout).values():
        recipe, scope = replace(task.recipe, trains=bits), scope_of(world.layout, bits)
        asked = replace(task, recipe=recipe, codec="float32")
        update = LocalUpdate(held, shard, asked, "dev-1")()
        assert len(update.data) == 4 * scope.size
        assert np.count_nonzero(codec.decode(update.data, scope.size, scope.bounds))


def test_what_is_left_out_is_kept_for_the_choice_that_left_it_out(rng, world):
    held = Models(fastest_trainer, 2**20).base(world.packed, world.base, world.digest)
    shard = Shard(rng.random((24, 8, 8, 1), np.float32), rng.integers(0, 5, 24))
    named, kept = named_scopes(world.layout), None

    def update(name, kept):
        recipe = replace(world.task().recipe, trains=named[name])
        asked = replace(world.task(), recipe=recipe, codec="topk")
        return LocalUpdate(held, shard, asked, "dev-1", kept)()

    for name in ("head", "biases"):
        afresh = update(name, None)
        assert update(name, kept).data == afresh.data, "what another choice left out is not owed"
        kept = afresh.kept
        assert kept.values.size == scope_of(world.layout, named[name]).size
        assert update(name, kept).data != afresh.data


async def aggregation(broker, folder, settings, codec):
    """The aggregator of a run of five devices."""
    return await aggregate(
        broker=broker,
        fleet="f",
        base=FILES["conv"].read_bytes(),
        run_dir=folder,
        settings=settings,
        wire=WireSettings(codec=codec),
        expected=5,
        seed=1,
        evaluate=lambda file: zlib.crc32(file) / 2**32,
        on_round=lambda record: None,
    )


def run(folder, devices, settings, codec):
    """A whole run in memory, and its record."""

    async def both():
        broker = MemoryBroker()
        tally, finished = await asyncio.gather(
            run_fleet(
                broker=broker,
                fleet="f",
                devices=devices,
                settings=FleetSettings(transport="memory"),
                seed=1,
                wire=WireSettings(codec=codec),
                trainer=fastest_trainer,
            ),
            aggregation(broker, folder, settings, codec),
        )
        assert finished
        return tally

    return asyncio.run(both()), read_record(folder)


@pytest.fixture
def devices(rng):
    return {
        f"dev-{i}": Shard(rng.random((16, 8, 8, 1), np.float32), rng.integers(0, 5, 16))
        for i in range(5)
    }


@pytest.mark.parametrize("rule", ["fedavg", "fedadam"])
def test_a_run_ends_with_a_model_that_differs_from_the_base_only_where_it_trains(
    devices, tmp_path, rule
):
    graph = read_graph(FILES["conv"].read_bytes())
    layout = layout_of(graph)
    base, bytes_up = weights_of(graph, layout), {}
    for name in ("head", "biases", "all"):
        settings = FederatedSettings(
            rounds=ROUNDS, batch=4, learning_rate=0.1, train=name, rule=rule
        )
        tally, record = run(tmp_path / name, devices, settings, codec="float32")
        assert tally.accepted == ROUNDS * len(devices)
        ended = weights_of(read_graph((tmp_path / name / "model.tflite").read_bytes()), layout)
        trained = scope_of(layout, named_scopes(layout)[name]).mask
        np.testing.assert_array_equal(ended.codes[~trained], base.codes[~trained])
        assert (ended.codes != base.codes)[trained].mean() > 0.1
        bytes_up[name] = sum(r.bytes_up for r in record.rounds)
    assert bytes_up["biases"] < bytes_up["head"] < bytes_up["all"]


@pytest.mark.parametrize("codec", ["microfed", "int8"])
def test_a_coded_update_of_the_head_trains_it_alone(devices, tmp_path, codec):
    graph = read_graph(FILES["conv"].read_bytes())
    layout = layout_of(graph)
    settings = FederatedSettings(rounds=ROUNDS, batch=4, learning_rate=0.1, train="head")
    run(tmp_path, devices, settings, codec)
    base = weights_of(graph, layout)
    ended = weights_of(read_graph((tmp_path / "model.tflite").read_bytes()), layout)
    trained = scope_of(layout, named_scopes(layout)["head"]).mask
    assert (ended.codes == base.codes)[~trained].all()
    assert (ended.codes != base.codes)[trained].any()
    assert (ended.scales == base.scales)[: layout.slots[-2].scale_start].all()


def test_a_run_that_asks_for_a_part_that_the_model_lacks_says_what_it_has(tmp_path):
    async def start():
        await aggregation(MemoryBroker(), tmp_path, FederatedSettings(train="last-9"), "int8")

    with pytest.raises(
        ModelError, match=r"train: 'last-9' .* allowed are all, last-2, head, biases"
    ):
        asyncio.run(start())
