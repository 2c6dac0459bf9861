"""Fleets over a real broker, against an aggregator that the tests script."""

import asyncio
import json
import os
import resource
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from device_sim.energy import Costs
from device_sim.fleet import run_fleet
from device_sim.ground import Ground
from device_sim.line import OwnLine
from device_sim.local_update import LocalUpdate
from device_sim.models import Models
from device_sim.profile import profile_of, rng_of
from device_sim.runner import Runner
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.twin import Twin
from device_sim.workshop import Workshop
from mqtt_client.endpoint import BrokerUnreachable, Endpoint
from tests.device_sim.desk import accepted, run, taken
from wire.cbor import encode
from wire.messages import Presence, Status
from wire.settings import WireSettings
from wire.topics import Topics


def test_devices_take_part_until_the_run_is_over(broker, unique, shards, script, world):
    devices = shards(5)
    aggregator = script(list(devices), rounds=3)
    tally, desk = run(broker.endpoint, unique, devices, aggregator)
    assert accepted(tally) == taken(aggregator)
    assert tally.accepted == 15
    # The embedded broker drops a client that connects while another subscribes; it tries again.
    assert {e for d in tally.devices.values() for e in d.errors} <= {"BrokerUnreachable"}
    assert {d.sessions for d in tally.devices.values()} == {1}
    assert set(desk.presences[-5:]) == {(d, 1, Status.SLEEPING) for d in devices}
    traffic = desk.connection.traffic
    states = sum(len(encode(Presence(s, status))) for _, s, status in desk.presences)
    assert tally.bytes_up == traffic.bytes_in
    assert states < tally.bytes_up


def test_updates_are_what_local_training_gives(mosquitto, unique, shards, script, world):
    """The wire adds nothing, and a task gives the same bytes whenever it is done."""
    devices = shards(2)
    aggregator = script(list(devices), rounds=2, block=200, codec="float32")
    run(mosquitto.endpoint, unique, devices, aggregator, block=256)
    models = Models(Twin, 2**20)
    model = models.base(world.packed, world.base, world.digest)
    for name, shard in devices.items():
        for number in (1, 2):
            if number == 2:
                manifest = world.difference(0, 1)
                later = models.advance(model, world.objects[manifest.id], manifest)
            task = world.task(number, number - 1, codec="float32")
            expected = LocalUpdate(model if number == 1 else later, shard, task, name)()
            [(offer, data)] = [
                v for (d, r, _), v in aggregator.taken.items() if (d, r) == (name, number)
            ]
            assert data == expected.data
            assert offer.samples == len(shard)
            assert offer.loss_before == np.float32(expected.loss_before)
            assert offer.data == b""  # too long for one message, so it came in blocks


def test_sigterm_makes_every_device_say_goodbye(mosquitto, unique, shards, script):
    devices = shards(3)
    aggregator = script(list(devices), rounds=0)
    aggregator.announce = lambda: aggregator.world.announce(0)

    async def terminate(desk, running):
        while len(desk.hellos) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    tally, desk = run(mosquitto.endpoint, unique, devices, aggregator, during=terminate)
    assert set(desk.presences[-3:]) == {(d, 1, Status.SLEEPING) for d in devices}
    assert list(tally.devices) == list(devices)


def test_gateways_say_that_they_come_and_that_they_go(mosquitto, unique, shards, script):
    devices = shards(5)
    aggregator = script(list(devices), rounds=1)
    behind = {"transport": "gateway", "gateway": 3}
    _, desk = run(mosquitto.endpoint, unique, devices, aggregator, **behind)
    for name in ("dev-0000", "dev-0003"):
        said = [status for gateway, _, status in desk.gateways if gateway == name]
        assert said == [Status.ONLINE, Status.SLEEPING]
    assert len(desk.gateways) == 4


def test_a_fleet_without_a_broker_says_so(shards):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    async def alone():
        await run_fleet(
            broker=Endpoint("127.0.0.1", port),
            fleet="nobody",
            devices=shards(2),
            settings=FleetSettings(),
            seed=1,
            wire=WireSettings(),
            trainer=Twin,
        )

    with pytest.raises(BrokerUnreachable):
        asyncio.run(alone())


def test_a_message_on_another_devices_topic_is_not_taken_for_an_own_one(bench, world):
    traits = bench().device.traits
    settings, rng = FleetSettings(), rng_of(1, traits.id)

    async def deliver():
        topics = Topics("f")
        costs = Costs.of(settings, None)
        ground = Ground(
            Endpoint("127.0.0.1", 1),
            topics,
            Workshop(1),
            costs,
            None,
            asyncio.Event(),
        )
        runner = Runner(ground, traits, Shard(None, ()), profile_of(settings, costs, rng), rng)
        line = OwnLine(ground, runner)
        line._join(runner)
        task = encode(world.task(objects=(world.base,)))
        line._arrived(topics.down("dev-2"), task)
        foreign = runner._state.job
        line._arrived(topics.down(traits.id), task)
        line.done.cancel()
        ground.workshop.close()
        return foreign, runner._state.job, runner.tally.refused

    foreign, own, refused = asyncio.run(deliver())
    assert foreign is None
    assert own.task == world.task(objects=(world.base,))
    assert refused == {"foreign topic": 1}


def test_a_tally_is_written_whole(mosquitto, unique, shards, script, tmp_path):
    devices = shards(2)
    aggregator = script(list(devices), rounds=1)
    tally, _ = run(mosquitto.endpoint, unique, devices, aggregator)
    tally.write(tmp_path / "fleet-0.json")
    assert [p.name for p in tmp_path.iterdir()] == ["fleet-0.json"]
    written = json.loads((tmp_path / "fleet-0.json").read_text())
    assert written["accepted"] == 2
    assert (
        written["bytes_up"]
        == tally.bytes_up
        == sum(d["bytes_up"] for d in written["devices"].values())
    )
    [(number, nonce)] = written["devices"]["dev-0001"]["accepted"]
    assert number == 1
    assert ("dev-0001", 1, bytes.fromhex(nonce)) in aggregator.taken


def test_a_thousand_devices_connect_and_leave_on_one_loop(mosquitto, unique, script):
    shard = Shard(np.zeros((1, 8, 8, 1), np.float32), np.zeros(1, np.int32))
    devices = {f"dev-{i:04}": shard for i in range(1000)}
    aggregator = script(list(devices), rounds=0)
    aggregator.announce = lambda: aggregator.world.announce(0)
    begun, memory = time.monotonic(), resident()

    async def until_all_are_there(desk, running):
        while len({d for d, _ in desk.hellos}) < 1000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        seconds, grown = time.monotonic() - begun, resident() - memory
        print(f"1000 devices said hello within {seconds:.2f} s; {grown / 1000:.0f} bytes each")
        assert seconds < 40  # half a second on an idle machine
        assert grown < 150e6
        os.kill(os.getpid(), signal.SIGTERM)

    tally, desk = run(mosquitto.endpoint, unique, devices, aggregator, during=until_all_are_there)
    assert {d.sessions for d in tally.devices.values()} == {1}
    assert {d for d, _, s in desk.presences if s is Status.SLEEPING} == set(devices)


def resident():
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
