"""Starting, restarting and ending brokers."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from pydantic import ValidationError

from mqtt_broker.broker import start
from mqtt_broker.errors import BrokerError, PortTaken
from mqtt_broker.mosquitto import PATIENCE, find_mosquitto
from mqtt_broker.running import accepts
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable, Endpoint

needs_mosquitto = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)
kinds = pytest.mark.parametrize(
    "kind", [pytest.param("mosquitto", marks=needs_mosquitto), "embedded"]
)


def connect_once(endpoint):
    async def run():
        client = Connection(endpoint, "once", on_message=lambda topic, payload: None)
        await client.connect(5)
        await client.disconnect()

    asyncio.run(run())


@kinds
def test_a_broker_accepts_when_start_returns_and_no_more_when_stopped(kind, tmp_path):
    with start(BrokerSettings(kind=kind), tmp_path) as broker:
        assert broker.kind == kind
        connect_once(broker.endpoint)
    assert not accepts(broker.endpoint.host, broker.endpoint.port)
    broker.stop()  # again, without harm


@kinds
def test_more_clients_than_the_usual_limit_of_open_files_may_come(kind, tmp_path):
    # Started with room for 64 files; the clients are in this process, which has more.
    with subprocess.Popen(
        ["/bin/sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh", *owner_of(kind, tmp_path / "new")],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        try:
            _, port = map(int, owner.stdout.readline().split())
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
            connect_once(Endpoint("127.0.0.1", port))
            for client in clients:
                client.close()
        finally:
            owner.kill()


@kinds
def test_stopping_waits_for_nobody_who_holds_a_connection_open(kind, tmp_path):
    with start(BrokerSettings(kind=kind), tmp_path) as broker:
        host, port = broker.endpoint.host, broker.endpoint.port
        with socket.create_connection((host, port)), socket.create_connection((host, port)) as half:
            half.sendall(b"\x10\x7f")  # a CONNECT that never ends
            began = time.monotonic()
            broker.restart()
            broker.stop()
            assert time.monotonic() - began < 0.8 * PATIENCE  # after which it is ended by force
    assert not accepts(host, port)


@kinds
def test_two_brokers_find_two_ports(kind, tmp_path):
    directories = [tmp_path / "a", tmp_path / "b"]
    first, second = (start(BrokerSettings(kind=kind), directory) for directory in directories)
    with first, second:
        assert first.endpoint.port != second.endpoint.port
        connect_once(first.endpoint)
        connect_once(second.endpoint)


@kinds
def test_a_port_that_is_taken_is_named(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port}: Address already in use"):
            start(BrokerSettings(kind=kind, port=port), tmp_path)


@kinds
def test_an_address_that_is_not_ours_is_named(kind, tmp_path):
    settings = BrokerSettings(kind=kind, host="127.0.0.1.example")
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1\.example"):
        start(settings, tmp_path)


@kinds
def test_clients_come_back_after_a_restart_on_the_same_port(kind, tmp_path, eventually):
    async def run(broker):
        inbox, greetings = [], []
        clients = [
            Connection(
                broker.endpoint,
                f"client-{index}",
                on_message=lambda topic, payload: inbox.append(payload),
                on_connect=lambda: greetings.append(1),
            )
            for index in range(20)
        ]
        for client in clients:
            client.subscribe("down")
            await client.connect(5)
        await asyncio.to_thread(broker.restart)
        await eventually(lambda: not any(client.connected for client in clients))
        clients[0].publish("down", b"published while nobody was there")
        await eventually(lambda: all(client.connected for client in clients))
        await clients[0].drain(5)
        clients[0].publish("down", b"hello again")
        await eventually(lambda: inbox.count(b"hello again") == 20)
        assert len(greetings) == 40
        for client in clients:
            await client.disconnect()
        return inbox

    with start(BrokerSettings(kind=kind), tmp_path) as broker:
        before = broker.endpoint
        inbox = asyncio.run(run(broker))
        assert broker.endpoint == before
    assert b"published while nobody was there" in inbox


@kinds
def test_a_hundred_clients_that_come_at_once_find_each_retained_message_once(
    kind, tmp_path, eventually
):
    async def run(broker):
        inboxes = [[] for _ in range(100)]
        herald = Connection(broker.endpoint, "herald", on_message=lambda *_: None)
        await herald.connect(5)
        for index in range(100):
            herald.publish(f"down/{index}", b"%d" % index, retain=True)
        herald.publish("all", b"to all", retain=True)
        await herald.drain(60)
        clients = [
            Connection(
                broker.endpoint,
                f"client-{index}",
                on_message=lambda topic, payload, inbox=inbox: inbox.append((topic, payload)),
            )
            for index, inbox in enumerate(inboxes)
        ]
        for index, client in enumerate(clients):
            client.subscribe(f"down/{index}", "all")
        await asyncio.gather(*(client.connect(60) for client in clients))
        await eventually(lambda: all(len(inbox) >= 2 for inbox in inboxes), within=60)
        await asyncio.sleep(0.3)  # for what should not come
        await asyncio.gather(*(client.disconnect() for client in (*clients, herald)))
        return [sorted(inbox) for inbox in inboxes]

    with start(BrokerSettings(kind=kind), tmp_path) as broker:
        inboxes = asyncio.run(run(broker))
    assert inboxes == [
        [("all", b"to all"), (f"down/{index}", b"%d" % index)] for index in range(100)
    ]
    log = tmp_path / "embedded.log"
    assert not log.exists() or "RuntimeError" not in log.read_text()


def test_the_embedded_broker_restarts_at_once_under_more_traffic_than_it_can_bear(tmp_path):
    async def talk(clients):
        while True:
            for index, client in enumerate(clients):
                if client.connected:
                    client.publish(f"down/{(index + 1) % len(clients)}", bytes(1000))
                    client.publish(f"up/{index}", b"here", retain=True)
            await asyncio.sleep(0.01)

    async def run(broker):
        clients = [
            Connection(
                broker.endpoint,
                f"client-{index}",
                on_message=lambda *_: None,
                will=lambda index=index: (f"up/{index}", b"gone"),
            )
            for index in range(100)
        ]
        for index, client in enumerate(clients):
            client.subscribe(f"down/{index}")
        await asyncio.gather(*(client.connect(60) for client in clients))
        talking = asyncio.create_task(talk(clients))
        times = []
        for _ in range(4):
            await asyncio.sleep(1.0)
            began = time.monotonic()
            await asyncio.to_thread(broker.restart)
            times.append(time.monotonic() - began)
        talking.cancel()
        await asyncio.gather(*(client.disconnect() for client in clients))
        return times

    with start(BrokerSettings(kind="embedded"), tmp_path) as broker:
        times = asyncio.run(run(broker))
    assert max(times) < 0.8 * PATIENCE, times  # a second on a machine with other work


def test_auto_is_mosquitto_where_installed_and_embedded_elsewhere(tmp_path, monkeypatch):
    with start(BrokerSettings(), tmp_path) as broker:
        assert broker.kind == ("mosquitto" if find_mosquitto() else "embedded")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mqtt_broker.mosquitto.PLACES", ())
    with start(BrokerSettings(), tmp_path) as broker:
        assert broker.kind == "embedded"
        assert broker.pid == os.getpid()
    with pytest.raises(BrokerError, match="mosquitto is not installed"):
        start(BrokerSettings(kind="mosquitto"), tmp_path)


def test_the_embedded_broker_stays_on_this_machine(tmp_path):
    with pytest.raises(BrokerError, match=r"does not listen on 0\.0\.0\.0: it trusts its clients"):
        start(BrokerSettings(kind="embedded", host="0.0.0.0"), tmp_path)


def test_the_embedded_broker_refuses_to_pretend_that_it_checks_passwords(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROFED_BROKER_PASSWORD", "hunter2")
    with pytest.raises(BrokerError, match="asks for no passwords"):
        start(BrokerSettings(kind="embedded", username="me"), tmp_path)


def test_the_embedded_broker_keeps_its_chatter_in_its_log(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CHATTER, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert "No data from" in (tmp_path / "embedded.log").read_text()


CHATTER = """
import logging, socket, sys, time
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("asyncio").setLevel(logging.WARNING)
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings
with start(BrokerSettings(kind="embedded"), Path(sys.argv[1])) as broker:
    socket.create_connection((broker.endpoint.host, broker.endpoint.port)).close()
    while not (Path(sys.argv[1]) / "embedded.log").exists():
        time.sleep(0.01)
"""


def test_an_external_broker_is_only_looked_for(mosquitto, tmp_path):
    there = mosquitto.endpoint
    settings = BrokerSettings(kind="external", host=there.host, port=there.port)
    with start(settings, tmp_path) as broker:
        assert (broker.kind, broker.endpoint, broker.pid) == ("external", there, None)
        with pytest.raises(BrokerError, match="not ours to restart"):
            broker.restart()
    connect_once(there)
    assert list(tmp_path.iterdir()) == []


def test_an_external_broker_that_is_not_there_is_unreachable(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(BrokerUnreachable, match=f"mqtt://127.0.0.1:{port} cannot be used"):
        start(BrokerSettings(kind="external", port=port), tmp_path)


def test_a_mosquitto_that_does_not_start_is_quoted(tmp_path, monkeypatch):
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho 'Error: out of blood' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"status 3\. .*mosquitto\.log says: Error: out of blood"):
        start(BrokerSettings(kind="mosquitto"), tmp_path)


@kinds
def test_a_broker_that_serves_passes_its_check(kind, tmp_path):
    with start(BrokerSettings(kind=kind), tmp_path) as broker:
        broker.check()
        broker.restart()
        broker.check()


def test_an_external_broker_that_has_gone_fails_its_check(tmp_path):
    with start(BrokerSettings(kind="embedded"), tmp_path) as ours:
        external = start(BrokerSettings(kind="external", port=ours.endpoint.port), tmp_path)
        external.check()
    with pytest.raises(BrokerError, match="is gone"):
        external.check()


@needs_mosquitto
def test_a_mosquitto_that_died_fails_its_check(tmp_path):
    with start(BrokerSettings(kind="mosquitto"), tmp_path) as broker:
        os.kill(broker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, broker.pid, os.WEXITED | os.WNOWAIT)  # wait, but leave it to its owner
        with pytest.raises(BrokerError, match=r"ended with status -9\. .*mosquitto\.log says"):
            broker.check()


@needs_mosquitto
def test_mosquitto_ends_when_its_owner_is_killed(tmp_path):
    command = owner_of("mosquitto", tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        pid, port = map(int, owner.stdout.readline().split())
        assert pid != owner.pid
        assert accepts("127.0.0.1", port)
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while accepts("127.0.0.1", port):
        assert time.monotonic() < deadline, f"mosquitto {pid} outlived its owner"
        time.sleep(0.01)


def owner_of(kind, directory):
    """The command of a process that starts a broker, prints its pid and port, and waits."""
    return [sys.executable, "-c", OWNER, str(directory), kind]


OWNER = """
import sys, time
from pathlib import Path
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings
broker = start(BrokerSettings(kind=sys.argv[2]), Path(sys.argv[1]))
print(broker.pid, broker.endpoint.port, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"kind": "emqx"}, "kind"),
        ({"port": 65536}, "port"),
        ({"max_packet": 100}, "max_packet"),
        ({"username": "a:b"}, "username"),
        ({"password": "hunter2"}, "password"),
        ({"password_file": "secret.txt"}, "whose password is it"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong, what):
    with pytest.raises(ValidationError, match=what):
        BrokerSettings(**wrong)


def test_settings_and_start_import_no_mqtt_library():
    code = (
        "import sys, mqtt_broker.broker, mqtt_broker.settings;"
        "print({'paho', 'amqtt', 'numpy'} & {name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_setting_is_explained():
    assert all(field.description for field in BrokerSettings.model_fields.values())


def test_endpoint_of_a_wildcard_listener_is_one_that_clients_can_use(tmp_path):
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    with start(BrokerSettings(kind="mosquitto", host="0.0.0.0"), tmp_path) as broker:
        assert broker.endpoint == Endpoint("127.0.0.1", broker.endpoint.port)
        connect_once(broker.endpoint)
