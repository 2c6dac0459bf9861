"""What the node's MQTT client says and hears, to the byte."""

import pytest

from tests.node.mqtt import (
    CONNACK,
    IN_FLIGHT,
    PINGRESP,
    SUBACK,
    Cause,
    Client,
    Kind,
    Message,
    Sent,
    connected,
    next_attempt,
    opened,
    packet,
    publish,
    text,
)


def test_connect_subscribe_and_publish_are_these_bytes(wire):
    will = Message("f/state", b"\x02", qos=1, retain=True)
    client = Client(wire, client_id="me", username="u", password="pw", filters=("a", "b/#"),
                    will=will, keep_alive=60)  # fmt: skip
    opened(client, 0)
    # MQTT, level 4; user, password, will retained, will QoS 1, will, clean session; 60 s
    assert wire.heard() == packet(
        0x10,
        text("MQTT") + b"\x04\xee\x00\x3c" + text("me") + text("f/state") + text(b"\x02")
        + text("u") + text("pw"),
    )  # fmt: skip
    wire.say(CONNACK)
    assert client.settle(0)[0].kind is Kind.CONNECTED
    assert wire.heard() == packet(0x82, b"\xff\xff" + text("a") + b"\x01" + text("b/#") + b"\x01")
    assert client.publish(Message("t", b"xyz", qos=1, retain=True)) == (Sent.QUEUED, 1)
    assert client.publish(Message("t", b"")) == (Sent.QUEUED, 0)
    client.settle(0)
    assert wire.heard() == publish("t", b"xyz", 1, flags=1) + publish("t", b"")


@pytest.mark.parametrize("size", [0, 1, 122, 123, 124, 700])
def test_a_payload_written_in_place_gives_the_same_bytes(wire, size):
    payload = bytes(i & 255 for i in range(size))
    client = connected(wire)
    assert client.publish(Message("a/b", b"before")) == (Sent.QUEUED, 0)
    assert client.publish_in_place(Message("a/b", payload, qos=1)) is Sent.QUEUED
    client.settle(0)
    assert wire.heard() == publish("a/b", b"before") + publish("a/b", payload, 1)


def test_the_will_may_be_written_anew_before_each_connect(wire):
    client = Client(wire, will=Message("s", b"\x01", qos=1))
    assert client.step(0).kind is Kind.OPENING
    client.set_will(b"\x07")
    client.settle(0)
    assert wire.heard().endswith(text("s") + text(b"\x07"))
    wire.say(b"\x00\x00")
    assert client.settle(0)[-1].cause is Cause.MALFORMED
    later = next_attempt(client, 0)
    client.set_will(b"\x08")
    client.settle(later)
    assert wire.heard().endswith(text("s") + text(b"\x08"))


@pytest.mark.parametrize("number", [0, 7])
def test_a_message_is_given_and_acknowledged(wire, number):
    client = connected(wire, filters=("a",))
    wire.say(publish("a", b"\x00\xff", number, flags=1))
    (event,) = client.settle(0)
    assert event.message == Message("a", b"\x00\xff", 1 if number else 0, retain=True)
    assert wire.heard() == (packet(0x40, number.to_bytes(2)) if number else b"")


def test_a_duplicate_is_a_message_like_any_other(wire):
    client = connected(wire, filters=("a",))
    wire.say(publish("a", b"1", 7), publish("a", b"1", 7, flags=8))
    assert [e.message.payload for e in client.settle(0)] == [b"1", b"1"]
    assert wire.heard() == packet(0x40, b"\0\7") * 2


def test_bytes_may_come_one_at_a_time(wire):
    client = connected(wire, filters=("a",))
    got = []
    for byte in publish("a", b"x" * 200, 9) + PINGRESP:
        wire.say(bytes([byte]))
        got += client.settle(0)
    assert [event.message.payload for event in got] == [b"x" * 200]


def test_bytes_may_leave_one_at_a_time(wire):
    client = connected(wire)
    wire.takes = 1
    for payload in (b"one", b"two" * 50):
        assert client.publish(Message("t", payload, qos=1))[0] is Sent.QUEUED
    client.settle(0)
    assert wire.heard() == publish("t", b"one", 1) + publish("t", b"two" * 50, 2)


def test_acknowledgements_may_come_in_any_order(wire):
    client = connected(wire)
    ids = [client.publish(Message("t", b"", qos=1))[1] for _ in range(IN_FLIGHT)]
    assert ids == list(range(1, IN_FLIGHT + 1))
    assert client.publish(Message("t", b"", qos=1))[0] is Sent.FULL
    assert client.publish(Message("t", b"", qos=0))[0] is Sent.QUEUED
    wire.say(*(packet(0x40, n.to_bytes(2)) for n in reversed(ids)))
    assert [e.id for e in client.settle(0)] == ids[::-1]
    assert client.publish(Message("t", b"", qos=1)) == (Sent.QUEUED, IN_FLIGHT + 1)


def test_identifiers_wrap_and_pass_over_those_in_flight(wire):
    client = connected(wire)
    assert client.publish(Message("t", b"", qos=1)) == (Sent.QUEUED, 1)  # stays in flight
    seen = set()
    for _ in range(65_533):
        _, chosen = client.publish(Message("t", b"", qos=1))
        seen.add(chosen)
        wire.say(packet(0x40, chosen.to_bytes(2)))
        assert client.step(0).kind is Kind.PUBLISHED
        wire.heard()
    assert seen == set(range(2, 0xFFFF))  # 65535 is the subscription's
    assert client.publish(Message("t", b"", qos=1)) == (Sent.QUEUED, 2)


def test_an_acknowledgement_that_nobody_waits_for_is_counted(wire):
    client = connected(wire)
    wire.say(packet(0x40, b"\0\5"), SUBACK)
    assert client.settle(0) == []
    assert client.counts.unexpected == 2


def test_a_publish_is_refused_with_its_reason(wire):
    offline = Client(wire)
    assert offline.publish(Message("t", b""))[0] is Sent.OFFLINE
    client = connected(wire, send=128)
    for topic in ("", "a/+", "#", "x" * 65_536):
        assert client.publish(Message(topic, b""))[0] is Sent.BAD_MESSAGE
    assert client.publish(Message("t", b"", qos=2))[0] is Sent.BAD_MESSAGE
    assert client.publish(Message("t", b"x" * 117, qos=1))[0] is Sent.TOO_LONG
    wire.takes = 0
    assert client.publish(Message("t", b"x" * 116, qos=1))[0] is Sent.QUEUED
    assert client.publish(Message("t", b"x" * 60))[0] is Sent.FULL
    wire.takes = 200
    client.settle(0)
    assert client.publish(Message("t", b"x" * 60))[0] is Sent.QUEUED


def test_what_does_not_fit_at_all_is_refused_at_the_beginning(wire):
    bad_argument, no_memory = 5, 3
    assert Client(wire, receive=63).status == bad_argument
    assert Client(wire, password="no user").status == bad_argument
    assert Client(wire, filters=("t",) * 61).status == bad_argument
    assert Client(wire, will=Message("t/#")).status == bad_argument
    assert Client(wire, client_id="x" * 70_000, send=100_000).status == no_memory
    assert Client(wire, client_id="0123456789", send=28).status == no_memory
    assert Client(wire, client_id="0123456789", send=29).status == 0
    assert Client(wire, filters=("0" * 30,), send=40).status == no_memory


def test_a_packet_longer_than_the_buffer_is_skipped_counted_and_acknowledged(wire):
    client = connected(wire, filters=("a",), receive=100)
    fits = publish("a", b"x" * (100 - 5), 6)
    wire.say(publish("a", b"x" * 96, 7), fits, publish("a", b"x" * 200_000, 8), fits)
    assert [e.message.payload for e in client.settle(0)] == [b"x" * 95] * 2
    assert client.counts.skipped == 2
    assert wire.heard() == b"".join(packet(0x40, bytes([0, n])) for n in (7, 6, 8, 6))


def test_a_skipped_packet_whose_topic_is_longer_than_the_buffer_is_not_acknowledged(wire):
    client = connected(wire, filters=("#",), receive=64)
    wire.say(publish("x" * 1000, b"", 7), publish("a", b"still here"))
    assert [e.message.payload for e in client.settle(0)] == [b"still here"]
    assert client.counts.skipped == 1
    assert wire.heard() == b""


def test_nothing_is_taken_while_there_is_no_room_to_acknowledge(wire):
    client = connected(wire, filters=("a",), send=64)
    wire.takes = 0
    assert client.publish(Message("t", b"x" * 51))[0] is Sent.QUEUED
    wire.say(publish("a", b"1", 7))
    assert client.settle(0) == []
    wire.takes = 100
    assert [e.message.payload for e in client.settle(0)] == [b"1"]
    assert wire.heard() == publish("t", b"x" * 51) + packet(0x40, b"\0\7")
