"""Fleets over a real broker, against an aggregator that the tests script."""

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from device_sim.energy import Costs
from device_sim.fleet import run_fleet
from device_sim.ground import Ground
from device_sim.line import OwnLine
from device_sim.local_update import LocalUpdate, training_seed
from device_sim.models import Models
from device_sim.profile import profile_of, rng_of
from device_sim.runner import Runner
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.trainer import Trained
from device_sim.twin import Twin
from device_sim.workshop import Workshop
from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable, Endpoint
from wire.cbor import decode, encode
from wire.messages import Hello, Presence, Refusal, Status
from wire.settings import WireSettings
from wire.topics import Topics


class Desk:
    """A scripted aggregator's connection; it notes every Presence."""

    def __init__(self, endpoint, fleet, script):
        self.script, self.topics = script, Topics(fleet)
        self.presences = []
        self.hellos = []
        self.deaf = False
        self.connection = Connection(endpoint, f"{fleet}-a", on_message=self.hear)
        self.connection.subscribe(*self.topics.from_devices)

    async def open(self):
        await self.connection.connect(5)
        self.tell(None, self.script.announce())

    async def close(self):
        self.connection.publish(self.topics.announce, b"", retain=True)
        for device in self.script.devices:
            self.connection.publish(self.topics.state(device), b"", retain=True)
        await self.connection.drain(5)
        await self.connection.disconnect()

    def hear(self, topic, payload):
        if self.deaf or not payload:
            return
        device, _ = self.topics.sender(topic)
        message = decode(payload)
        if isinstance(message, Presence):
            self.presences.append((device, message.session, message.status))
        if isinstance(message, Hello):
            self.hellos.append((device, message))
        for to, answer in self.script.hear(device, message):
            self.tell(to, answer)

    def tell(self, device, message):
        topic = self.topics.announce if device is None else self.topics.down(device)
        self.connection.publish(topic, encode(message), retain=device is None)


@pytest.fixture
def shards(rng):
    """shards(n) is what n devices hold: 8 to 15 samples each, random."""

    def make(n):
        sizes = {f"dev-{i:04}": 8 + i % 8 for i in range(n)}
        return {
            name: Shard(rng.random((size, 8, 8, 1), np.float32), rng.integers(0, 5, size))
            for name, size in sizes.items()
        }

    return make


def run(
    endpoint, fleet, devices, script, block=1024, seed=1, during=None, trainer=Twin, **settings
):
    """A fleet and its aggregator until the run is over: (tally, desk)."""

    async def both():
        desk = Desk(endpoint, fleet, script)
        await desk.open()
        try:
            async with asyncio.timeout(60):
                running = asyncio.create_task(
                    run_fleet(
                        broker=endpoint,
                        fleet=fleet,
                        devices=devices,
                        settings=FleetSettings(**settings),
                        seed=seed,
                        wire=WireSettings(block=block),
                        trainer=trainer,
                    )
                )
                if during:
                    await during(desk, running)
                tally = await running
            await asyncio.sleep(0.05)  # the last presences
        finally:
            await desk.close()
        return tally, desk

    return asyncio.run(both())


def accepted(tally):
    """What the devices counted as accepted, each once."""
    counted = [(d, r, n) for d, t in tally.devices.items() for r, n in t.accepted]
    assert len(counted) == len(set(counted))
    return set(counted)


def taken(aggregator):
    """What the aggregator took."""
    return {(d, r, n.hex()) for d, r, n in aggregator.taken}


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


def test_devices_that_vanish_every_round_lose_nothing(mosquitto, unique, shards, script):
    devices = shards(8)
    aggregator = script(list(devices), rounds=3, block=256)
    tally, desk = run(
        mosquitto.endpoint,
        unique,
        devices,
        aggregator,
        block=256,
        dropout=1.0,
        away=0.1,
    )
    assert accepted(tally) == taken(aggregator)
    assert tally.accepted == 24
    for name, device in tally.devices.items():
        assert 1 <= device.dropouts <= 3
        assert device.sessions == 1 + device.dropouts
        # Each death was told by the will of its own session, before the next birth.
        seen = [(session, status) for d, session, status in desk.presences if d == name]
        lives = [(s, k) for s in range(1, device.sessions) for k in (Status.ONLINE, Status.LOST)]
        assert seen == [
            *lives,
            (device.sessions, Status.ONLINE),
            (device.sessions, Status.SLEEPING),
        ]


def test_slow_links_that_lose_messages_lose_no_update(mosquitto, unique, shards, script):
    devices = shards(3)
    aggregator = script(list(devices), rounds=2)
    tally, _ = run(mosquitto.endpoint, unique, devices, aggregator, rate=50_000, loss=0.1, seed=1)
    assert {(d, r) for d, r, _ in aggregator.taken} == {(d, r) for d in devices for r in (1, 2)}
    assert accepted(tally) <= taken(aggregator)  # the very last verdict may be lost for good


def test_a_fleet_outlives_a_restart_of_its_broker(tmp_path, unique, shards, script):
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    devices = shards(4)
    aggregator = script(list(devices), rounds=4)

    with start(BrokerSettings(kind="mosquitto"), tmp_path) as broker:

        async def restart(desk, running):
            while aggregator.number < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            desk.deaf = True  # the run stands still, so that it cannot end before the restart
            await asyncio.to_thread(broker.restart)
            while not desk.connection.connected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            desk.deaf = False
            aggregator.session = 2
            desk.tell(None, aggregator.announce())

        tally, _ = run(broker.endpoint, unique, devices, aggregator, during=restart)
    assert accepted(tally) == taken(aggregator)
    assert tally.accepted == 16
    assert {d.sessions for d in tally.devices.values()} == {2}


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


def test_a_device_whose_data_do_not_fit_the_model_declines_and_is_counted(
    mosquitto, unique, script, caplog
):
    caplog.set_level(logging.ERROR)
    devices = {"dev-0": Shard(np.zeros((4, 3), np.float32), np.zeros(4, np.int32))}
    aggregator = script(list(devices), rounds=1)

    async def until_declined(desk, running):
        while not aggregator.declined:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        aggregator.number = 2
        desk.tell(None, aggregator.announce())

    tally, _ = run(mosquitto.endpoint, unique, devices, aggregator, during=until_declined)
    assert [d.reason for _, d in aggregator.declined] == [Refusal.FAILED]
    assert tally.devices["dev-0"].errors == {"ValueError": 1}


SETTLED = 0.5  # seconds in which a message has long reached everybody, on a busy machine too


class PatientTrainer:
    """Trains once it may, and notes what it was asked to do."""

    def __init__(self):
        self.may_end = threading.Event()
        self.seeds = []

    def __call__(self, graph, layout):
        return self

    def train(self, weights, x, y, recipe, seed):
        self.seeds.append(seed)
        assert self.may_end.wait(60)
        return Trained(weights, len(x), 2.0, 1.0)


def test_training_that_nobody_waits_for_any_more_is_not_begun(mosquitto, unique, shards, script):
    devices = shards(2)
    aggregator = script(list(devices), rounds=2)
    trainer = PatientTrainer()

    async def hurry(desk, running):
        while not trainer.seeds or len(desk.hellos) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.sleep(SETTLED)  # the other device's training waits for the first one's
        for name in devices:
            desk.tell(name, aggregator.world.task(2, 0, seed=8))
        await asyncio.sleep(SETTLED)
        aggregator.number = 2
        trainer.may_end.set()

    run(mosquitto.endpoint, unique, devices, aggregator, during=hurry, trainer=trainer)
    new = {training_seed(name, 8) for name in devices}
    assert len(trainer.seeds) == 3
    assert set(trainer.seeds[1:]) == new


def test_training_for_a_round_that_ended_meanwhile_is_not_begun(mosquitto, unique, shards, script):
    devices = shards(2)
    aggregator = script(list(devices), rounds=1)
    trainer = PatientTrainer()

    async def end_the_round(desk, running):
        while not trainer.seeds or len(desk.hellos) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.sleep(SETTLED)
        desk.deaf = True
        desk.tell(None, aggregator.world.announce(2))
        await asyncio.sleep(SETTLED)
        trainer.may_end.set()
        await asyncio.sleep(SETTLED)
        aggregator.number = 2
        desk.tell(None, aggregator.announce())

    run(mosquitto.endpoint, unique, devices, aggregator, during=end_the_round, trainer=trainer)
    assert len(trainer.seeds) == 1


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
