"""Fleets whose devices vanish, lose messages or their broker, or train in vain."""

import asyncio
import logging
import threading

import numpy as np
import pytest

from device_sim.local_update import training_seed
from device_sim.shard import Shard
from device_sim.trainer import Trained
from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from tests.device_sim.desk import accepted, run, taken
from wire.messages import Refusal, Status


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
