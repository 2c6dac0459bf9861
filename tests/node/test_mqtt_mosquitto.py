"""The node's MQTT client over posix/socket.c against a real Mosquitto, in real time."""

import time
from collections.abc import Iterator
from queue import Empty, Queue

import paho.mqtt.client as paho
import pytest

from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from tests.node.mqtt import IN_FLIGHT, Cause, Client, Event, Kind, Message, Sent

WITHIN = 20.0  # seconds


@pytest.fixture
def address(mosquitto):
    return mosquitto.endpoint.host, mosquitto.endpoint.port


@pytest.fixture
def peer(mosquitto) -> Iterator[tuple[paho.Client, Queue]]:
    """Another client of that broker, and what it hears."""
    heard: Queue = Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.on_message = lambda _client, _data, message: heard.put(message)
    ready: Queue = Queue()
    client.on_subscribe = lambda *_: ready.put(True)
    client.ready = ready
    client.connect(mosquitto.endpoint.host, mosquitto.endpoint.port)
    client.loop_start()
    yield client, heard
    client.disconnect()
    client.loop_stop()


def listen(peer, topic):
    peer[0].subscribe(topic, 1)
    peer[0].ready.get(timeout=WITHIN)


def now() -> int:
    return int(time.monotonic() * 1000)


def next_of(client: Client, *kinds: Kind) -> Event:
    """Step in real time until one of these happens."""
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        event = client.step(now())
        if event.kind in kinds:
            return event
        if event.kind is Kind.NOTHING:
            time.sleep(0.001)
    raise AssertionError(f"no {kinds} within {WITHIN} s")


def up(address, **settings) -> Client:
    client = Client(address, **settings)
    assert client.status == 0
    next_of(client, Kind.CONNECTED)
    return client


def bye(client: Client) -> None:
    client.leave()
    assert next_of(client, Kind.LOST).cause is Cause.LEFT


@pytest.mark.parametrize("qos", [0, 1])
def test_messages_go_both_ways(address, peer, unique, qos):
    listen(peer, f"{unique}/up")
    client = up(address, client_id=unique, filters=(f"{unique}/down", f"{unique}/+/all"))
    sent, number = client.publish(Message(f"{unique}/up", bytes(range(256)), qos=qos))
    assert sent is Sent.QUEUED
    if qos:
        assert next_of(client, Kind.PUBLISHED).id == number
    else:
        client.step(now())
    message = peer[1].get(timeout=WITHIN)
    assert (message.payload, message.qos, message.retain) == (bytes(range(256)), qos, False)
    peer[0].publish(f"{unique}/down", b"hello", qos)
    peer[0].publish(f"{unique}/x/all", b"", qos)
    heard = [next_of(client, Kind.MESSAGE).message for _ in range(2)]
    assert heard == [Message(f"{unique}/down", b"hello", qos), Message(f"{unique}/x/all", b"", qos)]
    bye(client)


def test_many_messages_go_both_ways_at_once(address, peer, unique):
    """The client hears what it says itself: 300 publishes through a buffer of a kilobyte."""
    client = up(address, client_id=unique, filters=(f"{unique}/echo",))
    wanted = [bytes([i & 255]) * (i % 200) for i in range(300)]
    waiting, heard, acknowledged = list(wanted), [], 0
    while acknowledged < len(wanted) or len(heard) < len(wanted):
        while waiting:
            if client.publish(Message(f"{unique}/echo", waiting[0], qos=1))[0] is not Sent.QUEUED:
                break
            waiting.pop(0)
        event = next_of(client, Kind.MESSAGE, Kind.PUBLISHED)
        if event.kind is Kind.MESSAGE:
            heard.append(event.message.payload)
        acknowledged += event.kind is Kind.PUBLISHED
    assert heard == wanted
    assert client.counts.connections == 1
    bye(client)


def test_a_retained_message_is_kept_and_comes_with_the_subscription(address, unique):
    first = up(address, client_id=unique)
    first.publish(Message(f"{unique}/state", b"kept", qos=1, retain=True))
    next_of(first, Kind.PUBLISHED)
    second = up(address, client_id=f"{unique}-2", filters=(f"{unique}/state",))
    message = next_of(second, Kind.MESSAGE).message
    assert message == Message(f"{unique}/state", b"kept", 1, retain=True)
    bye(first)
    bye(second)


def test_the_will_is_published_after_a_silent_death_and_not_after_a_farewell(address, peer, unique):
    listen(peer, f"{unique}/state")
    will = Message(f"{unique}/state", b"lost", qos=1, retain=True)
    client = up(address, client_id=unique, will=will, keep_alive=1)
    bye(client)
    with pytest.raises(Empty):
        peer[1].get(timeout=0.3)
    silent = up(address, client_id=unique, will=will, keep_alive=1)
    begun = time.monotonic()
    message = peer[1].get(timeout=WITHIN)  # nobody steps
    assert (message.payload, message.qos) == (b"lost", 1)
    assert time.monotonic() - begun >= 1
    assert next_of(silent, Kind.LOST).cause is Cause.LINK_DOWN


def test_a_quiet_client_is_kept_longer_than_its_keep_alive(address, unique):
    client = up(address, client_id=unique, keep_alive=1)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert client.step(now()).kind in (Kind.NOTHING, Kind.WORKING)
        time.sleep(0.01)
    assert client.counts.sent > 3 * 2
    bye(client)


def test_a_packet_longer_than_the_buffer_costs_nothing_but_itself(address, peer, unique):
    client = up(address, client_id=unique, filters=(f"{unique}/down",), receive=256)
    for payload in (b"before", b"x" * 100_000, b"y" * 257, b"after"):
        peer[0].publish(f"{unique}/down", payload, 1)
    heard = [next_of(client, Kind.MESSAGE).message.payload for _ in range(2)]
    assert heard == [b"before", b"after"]
    assert client.counts.skipped == 2
    for i in range(2 * 20):  # more than Mosquitto has in flight: the two were acknowledged
        peer[0].publish(f"{unique}/down", bytes([i]), 1)
        assert next_of(client, Kind.MESSAGE).message.payload == bytes([i])
    bye(client)


def test_a_wrong_password_is_said(tmp_path, monkeypatch):
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    monkeypatch.setenv("MICROFED_BROKER_PASSWORD", "right")
    with start(BrokerSettings(kind="mosquitto", username="node"), tmp_path) as running:
        address = running.endpoint.host, running.endpoint.port
        stranger = Client(address, username="node", password="wrong")
        lost = next_of(stranger, Kind.LOST)
        assert (lost.cause, lost.code) == (Cause.REFUSED, 5)
        bye(up(address, username="node", password="right"))


def test_a_broker_that_died_and_came_back_is_found_again(tmp_path):
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with start(BrokerSettings(kind="mosquitto"), tmp_path) as running:
        client = up((running.endpoint.host, running.endpoint.port), filters=("t",))
        for _ in range(IN_FLIGHT):
            assert client.publish(Message("t", b"", qos=1))[0] is Sent.QUEUED
        running.restart()
        assert next_of(client, Kind.LOST).cause is Cause.LINK_DOWN
        next_of(client, Kind.CONNECTED)
        assert client.publish(Message("t", b"again", qos=1))[0] is Sent.QUEUED
        events = [next_of(client, Kind.PUBLISHED, Kind.MESSAGE) for _ in range(2)]
        assert {event.kind for event in events} == {Kind.PUBLISHED, Kind.MESSAGE}
        bye(client)


def test_nobody_there_is_a_link_that_is_down():
    client = Client(("127.0.0.1", 1))
    assert next_of(client, Kind.LOST).cause is Cause.LINK_DOWN
    assert next_of(client, Kind.LOST).cause is Cause.LINK_DOWN
