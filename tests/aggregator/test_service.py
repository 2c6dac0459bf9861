"""The aggregator over a real broker, against the small test devices of conftest.py."""

import asyncio

import pytest

from aggregator import edge
from aggregator.errors import QuorumLostError, StoreMismatchError
from aggregator.records import read_record
from aggregator.settings import FederatedSettings
from aggregator.store import Store
from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable, Endpoint
from mqtt_client.memory import MemoryBroker
from tests.aggregator.members import NAMES, accepted, call, leave
from wire.cbor import decode, encode
from wire.messages import Phase, Presence, Status
from wire.topics import Topics


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


def test_a_round_ends_and_the_next_begins_in_one_commit(fleet, tmp_path, monkeypatch):
    monkeypatch.setattr(edge, "COMPANY", 60.0)  # what rounds wait for is committed with them
    commit, made = Store.commit, []

    def counted(store):
        made.append(store.dirty)
        commit(store)

    async def run():
        monkeypatch.setattr(Store, "commit", counted)
        at_round = []
        broker = MemoryBroker()
        members = await fleet(broker)
        await call(
            *(broker, fleet, tmp_path / "run"),
            settings=FederatedSettings(rounds=6),
            on_round=lambda record: at_round.append((record.number, sum(made))),
        )
        await leave(members)
        return dict(at_round)

    commits = asyncio.run(run())
    assert [commits[number] - commits[1] for number in range(2, 7)] == [1, 2, 3, 4, 5]


def test_model_files_follow_a_run_that_goes_on(fleet, tmp_path, monkeypatch):
    monkeypatch.setattr(edge, "WRITE", 0.0)
    monkeypatch.setattr(edge, "TICK", 0.01)
    newest, seen = tmp_path / "run" / "model.tflite", []

    async def run():
        broker = MemoryBroker()
        members = await fleet(broker, think=0.05)
        await call(
            *(broker, fleet, tmp_path / "run"),
            settings=FederatedSettings(rounds=5),
            on_round=lambda _: seen.append(newest.read_bytes() if newest.exists() else b""),
        )
        await leave(members)

    asyncio.run(run())
    assert seen[-1] not in (b"", seen[1], newest.read_bytes())


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
