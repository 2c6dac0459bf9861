"""The aggregator over a real broker, against the small test devices of conftest.py."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.errors import NoRunError, QuorumLostError, StoreMismatchError
from aggregator.records import read_record
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable, Endpoint
from wire.cbor import decode, encode
from wire.messages import Offer, Phase, Presence, Reason, Status, Verdict
from wire.settings import WireSettings
from wire.topics import Topics

NAMES = ("a", "b", "c", "d")
SERVE = Path(__file__).with_name("serve.py")


class Member:
    """A test device on a connection of its own; it takes `think` seconds over an update."""

    def __init__(self, device, endpoint, fleet, think=0.0):
        self.device, self.think = device, think
        self.topics = Topics(fleet)
        self.left = asyncio.Event()
        self.connection = Connection(
            endpoint,
            f"{fleet}-{device.name}",
            on_message=self.hear,
            on_connect=lambda: self.say(device.connect()),
            will=lambda: (
                self.topics.state(device.name),
                encode(Presence(device.session + 1, Status.LOST)),
            ),
        )
        self.connection.subscribe(self.topics.down(device.name), self.topics.announce)

    def hear(self, _topic, payload):
        answers = self.device.hear(decode(payload))
        if self.think and any(isinstance(message, Offer) for _, message in answers):
            asyncio.get_running_loop().call_later(self.think, self.say, answers)
        else:
            self.say(answers)

    def say(self, answers):
        for channel, message in answers:
            topic = getattr(self.topics, channel)(self.device.name)
            self.connection.publish(topic, encode(message), retain=channel == "state")
        if self.device.finished:
            self.left.set()


@pytest.fixture
def fleet(device, unique):
    """fleet(endpoint) connects four devices and gives them by name."""
    name = unique.replace("_", "-")[:32]

    async def connect(endpoint, think=0.0, **kinds):
        made = {n: device(n, samples=10 + i, **kinds.get(n, {})) for i, n in enumerate(NAMES)}
        members = {n: Member(each, endpoint, name, think) for n, each in made.items()}
        for member in members.values():
            await member.connection.connect(5)
        return members

    connect.name = name
    return connect


async def leave(members):
    for member in members.values():
        await asyncio.wait_for(member.left.wait(), 60)
        await member.connection.drain(5)
        await member.connection.disconnect()


def call(endpoint, fleet, directory, **given):
    """aggregate(), with what the tests have in common."""
    arguments = {
        "broker": endpoint,
        "fleet": fleet.name,
        "base": (SERVE.parents[1] / "fixtures" / "conv.tflite").read_bytes(),
        "run_dir": directory,
        "settings": FederatedSettings(rounds=3, deadline=20.0),
        "wire": WireSettings(),
        "expected": len(NAMES),
        "seed": 1,
        "evaluate": lambda file: len(file) % 7 / 7,
        "on_round": lambda record: None,
    }
    return aggregate(**(arguments | given))


@pytest.fixture
def expected(rig, device, tmp_path):
    """expected(rounds) is the model of a run that nothing ever went wrong with."""

    def make(rounds):
        world = rig(wanted=4, rounds=rounds, directory=tmp_path / "undisturbed")
        world.add(*(device(n, samples=10 + i) for i, n in enumerate(NAMES))).pump()
        assert world.course.model.version == rounds
        return world.file

    return make


def test_a_fleet_on_a_real_broker_makes_the_model_of_the_paper_run(
    broker, fleet, expected, tmp_path
):
    heard, evaluated = [], []

    def evaluate(file):
        evaluated.append(file)
        return (0.5, 0.9, 0.7, 0.6)[len(evaluated) - 1]

    async def run():
        members = await fleet(broker.endpoint)
        finished = await call(
            broker.endpoint, fleet, tmp_path / "run", evaluate=evaluate, on_round=heard.append
        )
        await leave(members)
        return finished

    finished = asyncio.run(run())
    assert finished
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.tflite")} == {
        "best.tflite": evaluated[1],
        "model.tflite": evaluated[3],
    }
    assert evaluated[3] == expected(3)
    record = read_record(tmp_path / "run")
    assert [r.accuracy for r in record.rounds] == [0.5, 0.9, 0.7, 0.6]
    assert record.rounds == tuple(heard)
    assert [r.number for r in heard] == [0, 1, 2, 3]
    assert record.refusals == {}
    assert [(d.device, d.accepted, d.samples) for d in record.devices] == [
        (name, 3, 10 + i) for i, name in enumerate(NAMES)
    ]
    last = record.rounds[-1]
    assert record.totals.bytes_up > last.bytes_up > 0, "farewells come after the last round"

    # The same call again finds the work done.
    assert asyncio.run(call(broker.endpoint, fleet, tmp_path / "run"))
    assert read_record(tmp_path / "run").rounds == record.rounds


def test_bytes_are_what_the_connections_of_both_sides_count(mosquitto, fleet, tmp_path):
    async def run():
        there = asyncio.Event()
        watcher = Connection(
            mosquitto.endpoint, f"{fleet.name}-w", on_message=lambda *_: there.set()
        )
        watcher.subscribe(Topics(fleet.name).aggregator_state)
        await watcher.connect(5)
        running = asyncio.create_task(call(mosquitto.endpoint, fleet, tmp_path))
        await asyncio.wait_for(there.wait(), 60)  # the aggregator is first, and hears everything
        await watcher.disconnect()
        members = await fleet(mosquitto.endpoint)
        await running
        await leave(members)
        return {name: member.connection.traffic for name, member in members.items()}

    traffic = asyncio.run(run())
    record = read_record(tmp_path)
    assert record.totals.bytes_up == sum(each.bytes_out for each in traffic.values())
    assert record.totals.bytes_down == sum(each.bytes_in for each in traffic.values())
    birth = len(encode(Presence(1, Status.ONLINE)))  # comes before a device is known
    assert {d.device: (d.bytes_up + birth, d.bytes_down) for d in record.devices} == {
        name: (each.bytes_out, each.bytes_in) for name, each in traffic.items()
    }


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


def accepted(directory):
    """Updates that were accepted, round by round."""
    return [r.accepted for r in read_record(directory).rounds[1:]]


async def rounds_done(directory, number, within=60.0):
    async with asyncio.timeout(within):
        while True:
            try:
                if read_record(directory).rounds[-1].number >= number:
                    return
            except (NoRunError, IndexError):
                pass
            await asyncio.sleep(0.02)


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


def test_a_fleet_that_cannot_ends_the_run_with_an_error(mosquitto, fleet, tmp_path):
    async def run():
        kinds = {name: {"declines": True} for name in NAMES[1:]}
        members = await fleet(mosquitto.endpoint, **kinds)
        phases = []
        watcher = Connection(
            mosquitto.endpoint, f"{fleet.name}-w", on_message=lambda _, p: phases.append(decode(p))
        )
        watcher.subscribe(Topics(fleet.name).announce)
        await watcher.connect(5)
        settings = FederatedSettings(rounds=3, deadline=1.0)
        with pytest.raises(QuorumLostError, match="round 3, had 1 of 4"):
            await call(mosquitto.endpoint, fleet, tmp_path / "run", settings=settings)
        for member in (*members.values(), watcher):
            await getattr(member, "connection", member).disconnect()
        return phases

    phases = asyncio.run(run())
    assert phases[-1].phase is Phase.WAITING
    assert [r.abandoned for r in read_record(tmp_path / "run").rounds] == [False, True, True, True]


def test_a_broken_evaluation_ends_the_run_and_leaves_it_sound(mosquitto, fleet, expected, tmp_path):
    def broken(file):
        if broken.calls == 2:
            raise RuntimeError("the test data are gone")
        broken.calls += 1
        return 0.5

    broken.calls = 0

    async def run():
        members = await fleet(mosquitto.endpoint)
        with pytest.raises(RuntimeError, match="the test data are gone"):
            await call(mosquitto.endpoint, fleet, tmp_path / "run", evaluate=broken)
        await call(mosquitto.endpoint, fleet, tmp_path / "run")
        await leave(members)

    asyncio.run(run())
    assert (tmp_path / "run" / "model.tflite").read_bytes() == expected(3)


def test_cancelling_stops_cleanly(mosquitto, fleet, tmp_path):
    async def run():
        running = asyncio.create_task(call(mosquitto.endpoint, fleet, tmp_path / "run"))
        await rounds_done(tmp_path / "run", 0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    assert read_record(tmp_path / "run").rounds[0].number == 0


def test_without_a_broker_there_is_a_clear_error(fleet, tmp_path):
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 "):
        asyncio.run(call(Endpoint("127.0.0.1", 1), fleet, tmp_path))


def test_a_run_cannot_be_resumed_with_other_settings_but_may_be_given_more_rounds(
    mosquitto, fleet, tmp_path
):
    async def run(**given):
        members = await fleet(mosquitto.endpoint)
        try:
            return await call(mosquitto.endpoint, fleet, tmp_path, **given)
        finally:
            for member in members.values():
                await member.connection.disconnect()

    asyncio.run(run(settings=FederatedSettings(rounds=1)))
    with pytest.raises(StoreMismatchError, match=r"federated.learning_rate is 0.01 there and 0.5"):
        asyncio.run(run(settings=FederatedSettings(rounds=2, learning_rate=0.5)))
    with pytest.raises(StoreMismatchError, match="seed is 1 there and 2 here"):
        asyncio.run(run(settings=FederatedSettings(rounds=2), seed=2))
    assert asyncio.run(run(settings=FederatedSettings(rounds=2)))
    assert len(accepted(tmp_path)) == 2
