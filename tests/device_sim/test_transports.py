"""A run is the same run however its devices are connected."""

import asyncio
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from aggregator.records import read_record
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from device_sim.energy import Costs, Work
from device_sim.fleet import run_fleet
from device_sim.notices import Notices
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.trainers import fastest_trainer
from mqtt_client.memory import MemoryBroker
from wire.cbor import encode
from wire.messages import Phase
from wire.settings import WireSettings

BASE = (Path(__file__).parents[1] / "fixtures" / "conv.tflite").read_bytes()
ROUNDS = 4
WORK = Work(training=5e5, evaluation=1e6, inference=5e4, measured=False)


@pytest.fixture
def devices(rng):
    return {
        f"dev-{i}": Shard(rng.random((8 + i, 8, 8, 1), np.float32), rng.integers(0, 5, 8 + i))
        for i in range(7)
    }


def aggregation(folder, fleet, devices, broker):
    """The aggregator of the run."""
    return aggregate(
        broker=broker,
        fleet=fleet,
        base=BASE,
        run_dir=folder,
        settings=FederatedSettings(rounds=ROUNDS, cohort=0.5, epochs=1, batch=4),
        wire=WireSettings(),
        expected=len(devices),
        seed=1,
        evaluate=lambda file: zlib.crc32(file) / 2**32,
        on_round=lambda record: None,
    )


def teach(folder, fleet, devices, broker=MemoryBroker, **settings):
    """A whole run in this process: what the devices counted, and the run's record.

    `broker` says where it is, or makes it, on the run's loop.
    """

    async def run():
        where = broker()
        tally, finished = await asyncio.gather(
            run_fleet(
                broker=where,
                fleet=fleet,
                devices=devices,
                settings=FleetSettings.model_validate({"gateway": 3} | settings),
                seed=1,
                wire=WireSettings(),
                trainer=fastest_trainer,
                work=WORK,
            ),
            aggregation(folder, fleet, devices, where),
        )
        assert finished
        return tally

    return asyncio.run(run()), read_record(folder)


def test_every_transport_ends_with_the_same_model(mosquitto, unique, devices, tmp_path):
    ends, spendings = {}, []
    for transport in ("mqtt", "gateway", "memory"):
        broker = MemoryBroker if transport == "memory" else lambda: mosquitto.endpoint
        folder = tmp_path / transport
        tally, record = teach(
            folder, f"{unique[:20]}-{transport}", devices, broker, transport=transport
        )
        assert tally.accepted == ROUNDS * 4
        assert [r.accepted for r in record.rounds[1:]] == [4] * ROUNDS
        spendings.append({name: d.energy.as_json() for name, d in tally.devices.items()})
        ends[transport] = [(folder / name).read_bytes() for name in ("model.tflite", "best.tflite")]
    assert ends["mqtt"] == ends["gateway"] == ends["memory"]
    assert ends["memory"][0] != BASE
    # What was sent before the first announcement came, or after the last, is a matter of time:
    # a Hello more or less of some 30 bytes.
    for name in devices:
        spent = [joules[name] for joules in spendings]
        assert spent[0]["training"] == spent[1]["training"] == spent[2]["training"]
        for way in ("up", "down"):
            assert max(s[way] for s in spent) < 1.1 * min(s[way] for s in spent)


def test_training_in_the_time_of_devices_takes_as_long_and_ends_the_same(devices, tmp_path):
    ends, seconds = {}, {}
    for clock in ("host", "device"):
        began = time.monotonic()
        tally, record = teach(
            tmp_path / clock, "f", devices, transport="memory", clock=clock, link="none"
        )
        seconds[clock] = time.monotonic() - began
        ends[clock] = (tmp_path / clock / "model.tflite").read_bytes()
        assert [r.accepted for r in record.rounds[1:]] == [4] * ROUNDS
    assert ends["host"] == ends["device"]
    fewest = min(len(shard) for shard in devices.values())
    least = Costs.of(FleetSettings(), WORK).training_seconds(fewest, 1)
    assert seconds["device"] > ROUNDS * least
    assert {device.energy.training > 0 for device in tally.devices.values()} == {True}


def test_in_memory_all_devices_are_on_one_line(devices, tmp_path):
    names = []

    class Watched(MemoryBroker):
        def join(self, client):
            names.append(client.client_id)
            super().join(client)

    teach(tmp_path, "f", devices, Watched, transport="memory", gateway=3)
    assert [name for name in names if name.startswith("f-g-")] == ["f-g-dev-0"]


def test_devices_that_vanish_behind_gateways_lose_nothing(mosquitto, unique, devices, tmp_path):
    lose_nothing(tmp_path, unique, devices, lambda: mosquitto.endpoint, transport="gateway")


def test_devices_that_vanish_in_memory_lose_nothing(devices, tmp_path):
    lose_nothing(tmp_path, "f", devices, transport="memory")


def lose_nothing(folder, fleet, devices, *broker, **settings):
    """A run whose devices vanish in every round."""
    tally, record = teach(folder, fleet, devices, *broker, dropout=1.0, away=0.05, **settings)
    assert [r.accepted for r in record.rounds[1:]] == [4] * ROUNDS
    assert sum(device.dropouts for device in tally.devices.values()) > ROUNDS
    heard = {(name, number) for name, t in tally.devices.items() for number, _ in t.accepted}
    assert len(heard) == 4 * ROUNDS


def test_the_books_of_both_sides_agree_on_every_devices_bytes(devices, tmp_path):
    tally, record = teach(tmp_path, "f", devices, transport="memory")
    booked = {d.device: (d.bytes_up, d.bytes_down) for d in record.devices}
    for name, counted in tally.devices.items():
        up, down = booked[name]
        assert counted.bytes_down == down
        assert counted.bytes_up - up in (0, 7), "a birth before the first Hello is nobody's"


def test_only_what_a_resting_device_would_act_on_must_be_read_at_once(world):
    notices = Notices()

    def post(**said):
        return notices.post(encode(world.announce(**said)), 0.0)

    assert post(number=1), "an aggregator that it does not know"
    assert not post(number=2)
    assert not post(number=3)
    assert post(number=3, phase=Phase.FINISHED)
    assert post(number=4, session=2), "one that may have forgotten it"
    assert notices.post(b"nonsense", 0.0)
    assert notices.messages == 6


def test_cancelling_a_run_leaves_nothing_behind(devices, tmp_path):
    async def run():
        broker = MemoryBroker()
        fleet = asyncio.create_task(
            run_fleet(
                broker=broker,
                fleet="f",
                devices=devices,
                settings=FleetSettings(transport="memory"),
                seed=1,
                wire=WireSettings(),
                trainer=fastest_trainer,
            )
        )
        await asyncio.sleep(0.05)
        fleet.cancel()
        with suppress(asyncio.CancelledError):
            await fleet
        return asyncio.all_tasks()

    assert len(asyncio.run(run())) == 1
