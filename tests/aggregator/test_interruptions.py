"""An aggregator and devices that stop, die and lose their broker, and the run that goes on."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from aggregator.records import read_record
from aggregator.settings import FederatedSettings
from aggregator.store import Store
from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.memory import MemoryBroker
from tests.aggregator.members import NAMES, accepted, call, leave, rounds_done
from wire.cbor import decode
from wire.messages import Presence, Reason, Status, Verdict
from wire.topics import Topics

SERVE = Path(__file__).with_name("serve.py")


class Served:
    """serve.py as a child process."""

    def __init__(self, endpoint, fleet, directory, **settings):
        settings = FederatedSettings(**({"deadline": 20.0} | settings)).model_dump_json()
        arguments = [str(endpoint.port), fleet.name, str(directory), str(len(NAMES)), settings]
        self.process = subprocess.Popen(
            [sys.executable, str(SERVE), *arguments],
            cwd=SERVE.parents[2],
        )

    async def finished(self):
        """Wait for the end: whether the run was finished (0), or only stopped (1)."""
        code = await asyncio.to_thread(self.process.wait, 60)
        assert code in (0, 1)
        return code == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def test_a_run_killed_twice_ends_like_one_that_was_not(mosquitto, fleet, expected, tmp_path):
    async def run():
        members = await fleet(mosquitto.endpoint, think=0.05)
        for kill_at in (2, 5):
            with Served(mosquitto.endpoint, fleet, tmp_path / "run", rounds=8) as served:
                await rounds_done(tmp_path / "run", kill_at)
                served.process.send_signal(signal.SIGKILL)
                served.process.wait()
        with Served(mosquitto.endpoint, fleet, tmp_path / "run", rounds=8) as served:
            finished = await served.finished()
        await leave(members)
        return finished, members

    finished, members = asyncio.run(run())
    assert finished
    assert (tmp_path / "run" / "model.tflite").read_bytes() == expected(8)
    record = read_record(tmp_path / "run")
    assert [(d.accepted, d.invited) for d in record.devices] == 4 * [(8, 8)]
    for member in members.values():
        accepted = {v.round for v in member.device.verdicts if v.reason == 0}
        assert accepted == set(range(1, 9)), "both sides count the same"


def test_a_termination_is_clean_and_the_run_goes_on_where_it_stopped(
    mosquitto, fleet, expected, tmp_path
):
    states = []

    async def run():
        watcher = Connection(
            mosquitto.endpoint, f"{fleet.name}-w", on_message=lambda _, p: states.append(decode(p))
        )
        watcher.subscribe(Topics(fleet.name).aggregator_state)
        await watcher.connect(5)
        members = await fleet(mosquitto.endpoint, think=0.05)
        with Served(mosquitto.endpoint, fleet, tmp_path / "run", rounds=6) as served:
            await rounds_done(tmp_path / "run", 2)
            served.process.send_signal(signal.SIGTERM)
            stopped = await served.finished()
            closed = read_record(tmp_path / "run").rounds[-1].number
        with Served(mosquitto.endpoint, fleet, tmp_path / "run", rounds=6) as served:
            finished = await served.finished()
        await leave(members)
        await watcher.disconnect()
        return stopped, closed, finished

    stopped, closed, finished = asyncio.run(run())
    assert (stopped, finished) == (False, True)
    assert 2 <= closed < 6
    assert (tmp_path / "run" / "model.tflite").read_bytes() == expected(6)
    assert states == [
        Presence(1, Status.ONLINE),
        Presence(1, Status.SLEEPING),
        Presence(2, Status.ONLINE),
        Presence(2, Status.SLEEPING),
    ]


def test_whichever_write_fails_the_next_process_ends_the_run_as_if_none_had(
    fleet, expected, tmp_path, monkeypatch
):
    write, settings = Store._write, FederatedSettings(rounds=2, deadline=20.0)

    async def serve(directory):
        broker = MemoryBroker()
        members = await fleet(broker)
        await call(broker, fleet, directory, settings=settings)
        await leave(members)

    def failing(at):
        made = count()

        def fail_at(store, sql, values):
            if next(made) == at:
                raise sqlite3.OperationalError("disk I/O error")
            return write(store, sql, values)

        return fail_at

    whole = expected(2)
    for at in count():
        directory = tmp_path / f"run-{at}"
        monkeypatch.setattr(Store, "_write", failing(at))
        try:
            asyncio.run(serve(directory))
            break
        except sqlite3.OperationalError:
            monkeypatch.setattr(Store, "_write", write)
            asyncio.run(serve(directory))
        assert (directory / "model.tflite").read_bytes() == whole, f"write {at} failed"
        assert accepted(directory) == [4, 4], f"write {at} failed"
    assert at > 20  # there were so many


def test_a_run_goes_on_over_a_restart_of_the_broker(fleet, expected, tmp_path):
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    with start(BrokerSettings(kind="mosquitto"), tmp_path / "broker") as broker:

        async def run():
            second = asyncio.Event()
            members = await fleet(broker.endpoint, think=0.05)
            settings = FederatedSettings(rounds=5, deadline=20.0)
            running = asyncio.create_task(
                call(
                    broker.endpoint,
                    fleet,
                    tmp_path / "run",
                    settings=settings,
                    on_round=lambda record: second.set() if record.number == 2 else None,
                )
            )
            await asyncio.wait_for(second.wait(), 60)
            await asyncio.to_thread(broker.restart)
            await asyncio.wait_for(running, 60)
            await leave(members)

        asyncio.run(run())
    assert accepted(tmp_path / "run") == [4] * 5
    assert (tmp_path / "run" / "model.tflite").read_bytes() == expected(5)


def test_a_device_that_dies_is_noticed_and_its_return_is_enough(
    mosquitto, fleet, expected, tmp_path
):
    async def run():
        members = await fleet(mosquitto.endpoint, think=0.05)
        running = asyncio.create_task(call(mosquitto.endpoint, fleet, tmp_path / "run"))
        await asyncio.sleep(0.08)  # somewhere in a round
        victim = members["b"]
        victim.connection.kill()
        await asyncio.sleep(0.3)
        assert not running.done()
        await victim.connection.connect(5)
        await asyncio.wait_for(running, 60)
        await leave(members)

    asyncio.run(run())
    assert accepted(tmp_path / "run") == [4] * 3
    assert (tmp_path / "run" / "model.tflite").read_bytes() == expected(3)


def test_a_device_that_was_away_at_the_end_hears_its_last_verdict(mosquitto, fleet, tmp_path):
    async def run():
        members = await fleet(mosquitto.endpoint)
        victim = members["b"]
        hear, lost = victim.device.hear, asyncio.Event()

        def vanish_before_the_verdict(message):
            if not isinstance(message, Verdict) or lost.is_set():
                return hear(message)
            victim.connection.kill()
            lost.set()
            return []

        victim.device.hear = vanish_before_the_verdict
        settings = FederatedSettings(rounds=1, deadline=20.0)
        running = asyncio.create_task(
            call(mosquitto.endpoint, fleet, tmp_path / "run", settings=settings)
        )
        await asyncio.wait_for(lost.wait(), 60)
        for name in "acd":
            await asyncio.wait_for(members[name].left.wait(), 60)
        await asyncio.sleep(0.5)
        await victim.connection.connect(5)
        await asyncio.wait_for(running, 60)
        await leave(members)
        return victim.device.verdicts

    verdicts = asyncio.run(run())
    assert accepted(tmp_path / "run") == [4]
    assert {(v.round, v.reason) for v in verdicts} == {(1, Reason.ACCEPTED)}


def test_an_aggregator_that_died_after_the_last_round_still_answers(mosquitto, fleet, tmp_path):
    async def run():
        settings = FederatedSettings(rounds=1)
        members = await fleet(mosquitto.endpoint)
        await call(mosquitto.endpoint, fleet, tmp_path / "run", settings=settings)
        await leave(members)
        late = members["b"]  # as if it had not heard of its update
        late.device.finished, late.device.verdicts = False, []
        late.left.clear()
        await late.connection.connect(5)
        await asyncio.sleep(0.2)
        assert late.device.verdicts == []
        await call(mosquitto.endpoint, fleet, tmp_path / "run", settings=settings)
        await leave({"b": late})
        return late.device.verdicts

    verdicts = asyncio.run(run())
    assert {(v.round, v.reason) for v in verdicts} == {(1, Reason.ACCEPTED)}


def test_an_aggregator_waits_for_the_dead_only_a_few_seconds(mosquitto, fleet, tmp_path):
    async def run():
        members = await fleet(mosquitto.endpoint)
        members["b"].connection.kill()
        settings = FederatedSettings(rounds=1, deadline=4.0, min_devices=3, quorum=0.5)
        await asyncio.wait_for(
            call(mosquitto.endpoint, fleet, tmp_path / "run", settings=settings), 60
        )
        del members["b"]
        await leave(members)

    asyncio.run(run())
    assert accepted(tmp_path / "run") == [3]


def test_cancelling_stops_cleanly(mosquitto, fleet, tmp_path):
    async def run():
        running = asyncio.create_task(call(mosquitto.endpoint, fleet, tmp_path / "run"))
        await rounds_done(tmp_path / "run", 0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    assert read_record(tmp_path / "run").rounds[0].number == 0
