"""A hostile broker at the node's MQTT client.  test_mqtt_checked.py runs it under sanitizers."""

import os
import select
import socket
import time
from collections import Counter

import numpy as np

from benchmarks.node_malice import Malice
from tests.node.mqtt import (
    CONNACK,
    MOST_WAIT,
    SUBACK,
    Cause,
    Client,
    Kind,
    Message,
    Script,
    Sent,
    publish,
)

PACKETS = 100_000
BATCHES = 10
MOST_SAID = 100  # bytes: CONNECT and SUBSCRIBE, or the acknowledgement of one packet


class Tcp:
    """A transport over a socket that blocks nobody."""

    def __init__(self, address):
        self._socket = socket.create_connection(address)
        self._socket.setblocking(False)

    def send(self, data):
        if not data:
            self._socket.close()
            return 0
        return self._socket.send(data)

    def receive(self, size):
        try:
            return self._socket.recv(size) or None
        except BlockingIOError:
            return b""

    def wait(self):
        select.select([self._socket], [], [], 0.05)

    def close(self):
        self._socket.close()


class Switch:
    """A transport whose other end can be exchanged."""

    def __init__(self, inner):
        self.inner = inner

    def send(self, data):
        return self.inner.send(data)

    def receive(self, size):
        return self.inner.receive(size)


def welcome(client, script, now):
    """Connect; when, and never later than the longest wait."""
    end = now + MOST_WAIT
    while client.step(now).kind is not Kind.OPENING:
        assert now < end
        now += MOST_WAIT // 4
    script.say(CONNACK, SUBACK)
    assert [event.kind for event in client.settle(now)] == [Kind.CONNECTED]
    assert len(script.heard()) <= MOST_SAID
    return now


def torment(client, script, malice, now):
    """One batch; when it ended, and what became of its packets."""
    seen = Counter()
    marker = publish(malice.topics[0], b"marker")
    for _ in range(PACKETS // BATCHES):
        script.say(malice.violation() if malice.random.random() < 0.8 else malice.nuisance())
        client.publish(Message("up", b"", qos=1))
        events = client.settle(now)
        assert len(script.heard()) <= MOST_SAID
        if not events or events[-1].kind is not Kind.LOST:
            script.say(marker)
            events += client.settle(now)
        if events and events[-1].kind is Kind.LOST:
            assert events[-1].cause is Cause.MALFORMED
            seen["malformed"] += 1
            now = welcome(client, script, now)
        elif events and events[-1].message.payload == b"marker":
            seen["put up with"] += 1
        else:
            seen["cut off"] += 1
            script.down = True
            assert client.settle(now)[-1].cause is Cause.LINK_DOWN
            script.down = False
            now = welcome(client, script, now)
    return now, seen


def test_a_hundred_thousand_hostile_packets_and_then_a_real_broker(mosquitto, unique):
    seed = int(os.environ.get("MICROFED_TEST_SEED", "6"))
    script = Script()
    wire = Switch(script)
    client = Client(wire, client_id=unique, filters=(unique,), keep_alive=20, receive=512, send=256)
    now = welcome(client, script, 0)
    seen = Counter()
    for batch in range(BATCHES):
        print(f"MICROFED_TEST_SEED={seed}, batch {batch}")
        malice = Malice(np.random.default_rng([seed, batch]), (unique,), bytes(32))
        now, more = torment(client, script, malice, now)
        seen += more
    print(dict(seen))
    assert seen.total() == PACKETS
    assert client.counts.malformed == seen["malformed"] > PACKETS / 4
    assert client.counts.skipped > PACKETS / 100
    assert client.counts.unexpected > PACKETS / 100
    script.down = True
    client.settle(now)
    wire.inner = tcp = Tcp((mosquitto.endpoint.host, mosquitto.endpoint.port))
    while client.step(now).kind is not Kind.OPENING:
        now += 1000
    waiting = {Kind.CONNECTED, Kind.PUBLISHED, Kind.MESSAGE}
    end = time.monotonic() + 20
    while waiting and time.monotonic() < end:
        tcp.wait()
        for event in client.settle(now):
            waiting.remove(event.kind)
            if event.kind is Kind.CONNECTED:
                assert client.publish(Message(unique, b"still here", qos=1))[0] is Sent.QUEUED
    tcp.close()
    assert not waiting
