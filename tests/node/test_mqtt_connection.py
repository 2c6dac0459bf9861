"""How the node's MQTT client keeps, loses, renews and leaves its connection."""

import pytest

from tests.node.mqtt import (
    CONNACK,
    DISCONNECT,
    IN_FLIGHT,
    LEAST_WAIT,
    MOST_WAIT,
    PATIENCE,
    PINGREQ,
    PINGRESP,
    SUBACK,
    Cause,
    Client,
    Kind,
    Message,
    Script,
    Sent,
    connected,
    next_attempt,
    opened,
    packet,
    publish,
    text,
)


def test_a_quiet_connection_is_kept_alive(wire):
    client = connected(wire, keep_alive=40)
    for now in range(0, 300_000, 1000):
        assert client.settle(now) == []
        if wire.heard() == PINGREQ:
            assert now % 30_000 == 0  # three quarters of 40 s
            wire.say(PINGRESP)
    assert client.counts.connections == 1
    assert client.counts.received == len(CONNACK) + 9 * len(PINGRESP)


def test_one_that_only_hears_must_speak_too(wire):
    client = connected(wire, keep_alive=40, filters=("a",))
    heard = []
    for now in range(0, 100_000, 1000):
        wire.say(publish("a", b""))
        client.settle(now)
        heard.append(wire.heard())
    assert [i for i, said in enumerate(heard) if said] == [30, 60, 90]


def test_a_broker_that_answers_no_more_is_given_up(wire):
    client = connected(wire, keep_alive=40)
    assert client.settle(30_000) == []
    assert wire.heard() == PINGREQ
    assert client.settle(30_000 + PATIENCE - 1) == []
    (event,) = client.settle(30_000 + PATIENCE)
    assert (event.kind, event.cause) == (Kind.LOST, Cause.TIMED_OUT)
    assert wire.hung_up == 1


def test_an_answer_that_waited_for_a_busy_node_is_an_answer(wire):
    """The node did not step for half an hour; what it missed is read before it is judged."""
    client = connected(wire, keep_alive=40)
    client.settle(30_000)
    wire.say(PINGRESP)
    assert client.settle(1_800_000) == []
    assert wire.heard() == PINGREQ * 2


def test_no_keep_alive_means_none(wire):
    client = connected(wire, keep_alive=0)
    assert client.settle(2_000_000_000) == []
    assert wire.heard() == b""


@pytest.mark.parametrize("start", [2**32 - 1, 2**32 - 20_000, 2**31 - 20_000])
def test_the_clock_may_wrap(wire, start):
    client = connected(wire, now=start, keep_alive=40)
    times = []
    for second in range(1, 100):
        assert client.settle(start + 1000 * second) == []
        if wire.heard():
            times.append(second)
            wire.say(PINGRESP)
    assert times == [30, 60, 90]
    wire.down = True
    assert client.settle(start + 100_000)[0].kind is Kind.LOST
    wire.down = False
    assert next_attempt(client, start + 100_000) - start <= 100_000 + LEAST_WAIT


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 77])
def test_a_refusal_says_its_code(wire, code):
    client = Client(wire)
    opened(client, 0)
    wire.say(bytes([0x20, 2, 0, code]))
    (event,) = client.settle(0)
    assert (event.kind, event.cause, event.code) == (Kind.LOST, Cause.REFUSED, code)


@pytest.mark.parametrize(
    ("answer", "cause", "code"),
    [
        (b"\x01\x80", Cause.NOT_SUBSCRIBED, 1),
        (b"\x80\x01", Cause.NOT_SUBSCRIBED, 0),
        (b"\x01\x02", Cause.MALFORMED, 1),  # more than was asked for
        (b"\x01", Cause.MALFORMED, 0),
        (b"\x01\x01\x01", Cause.MALFORMED, 0),
    ],
)
def test_a_refused_subscription_ends_the_connection(wire, answer, cause, code):
    client = Client(wire, filters=("a", "b"))
    opened(client, 0)
    wire.say(CONNACK, packet(0x90, b"\xff\xff" + answer))
    made, lost = client.settle(0)
    assert (made.kind, lost.kind, lost.cause, lost.code) == (
        Kind.CONNECTED, Kind.LOST, cause, code,
    )  # fmt: skip


def test_a_lower_qos_than_asked_for_is_taken(wire):
    client = Client(wire, filters=("a", "b"))
    opened(client, 0)
    wire.say(CONNACK, packet(0x90, b"\xff\xff\x00\x01"))
    assert [e.kind for e in client.settle(0)] == [Kind.CONNECTED]


@pytest.mark.parametrize("answers", [b"", CONNACK])
def test_silence_after_connect_or_subscribe_is_given_up(wire, answers):
    client = Client(wire, filters=("a",))
    opened(client, 0)
    wire.say(answers)
    client.settle(0)
    assert client.settle(PATIENCE - 1) == []
    assert client.settle(PATIENCE)[0].cause is Cause.TIMED_OUT


MALFORMED = {
    "type 0": b"\x00\x00",
    "type 15": b"\xf0\x00",
    "CONNECT": packet(0x10, text("MQTT")),
    "a second CONNACK": CONNACK,
    "PUBACK with flags": packet(0x42, b"\0\1"),
    "PUBACK without an identifier": packet(0x40),
    "PUBACK of 0": packet(0x40, b"\0\0"),
    "PUBACK too long": packet(0x40, b"\0\1\0"),
    "PUBREC": packet(0x50, b"\0\1"),
    "SUBSCRIBE": packet(0x82, b"\0\1" + text("a") + b"\1"),
    "UNSUBACK": packet(0xB0, b"\0\1"),
    "PINGREQ": PINGREQ,
    "PINGRESP with a body": packet(0xD0, b"\0"),
    "DISCONNECT": DISCONNECT,
    "QoS 2": packet(0x34, text("a") + b"\0\1"),
    "QoS 3": packet(0x36, text("a") + b"\0\1"),
    "PUBLISH without a topic": packet(0x30, text("")),
    "PUBLISH of nothing": packet(0x30),
    "PUBLISH of one byte": packet(0x30, b"\0"),
    "a topic beyond the packet": packet(0x30, b"\0\4abc"),
    "an identifier beyond the packet": packet(0x32, text("abc") + b"\0"),
    "identifier 0": packet(0x32, text("a") + b"\0\0"),
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "a length that never ends": b"\x30" + b"\x80" * 9,
    "a PUBACK of 268 MB": b"\x40\xff\xff\xff\x7f",
    "a PUBLISH of 268 MB": b"\x30\xff\xff\xff\x7f",
    "a PUBLISH of 262145 bytes": b"\x30\x81\x80\x10",
    "a SUBACK of 1025 bytes": packet(0x90, b"\xff\xff" + b"\1" * 1023),
    "a long PUBLISH of QoS 2": packet(0x34, text("a") + b"\0\1" + b"x" * 2000),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_no_broker_sends_ends_the_connection_and_a_new_one_works(wire, name):
    client = connected(wire, filters=("a",))
    wire.say(MALFORMED[name], publish("a", b"never read"))
    (event,) = client.settle(0)
    assert (event.kind, event.cause) == (Kind.LOST, Cause.MALFORMED)
    assert client.counts.malformed == 1
    later = next_attempt(client, 0)
    wire.say(CONNACK)
    assert client.settle(later)[0].kind is Kind.CONNECTED
    wire.say(SUBACK, publish("a", b"read"))
    assert client.settle(later)[0].message.payload == b"read"


@pytest.mark.parametrize(
    "first",
    [publish("a", b""), PINGRESP, b"\x21\x02\x00\x00", b"\x20\x02\x02\x00", b"\x20\x01\x00",
     b"\x20\x03\x00\x00\x00", packet(0x30, b"\0\1a" + b"x" * 5000)],
)  # fmt: skip
def test_nothing_but_a_connack_may_come_first(wire, first):
    client = Client(wire)
    opened(client, 0)
    wire.say(first)
    assert client.settle(0)[-1].cause is Cause.MALFORMED


def test_a_connack_before_connect_has_left_is_another_connections(wire):
    client = Client(wire)
    assert client.step(0).kind is Kind.OPENING
    wire.takes = 0
    wire.say(CONNACK)
    assert client.settle(0)[-1].cause is Cause.MALFORMED


def test_waits_double_up_to_the_most_and_half_of_each_is_jitter(wire):
    longest = [min(LEAST_WAIT * 2**i, MOST_WAIT) for i in range(10)]

    def waits(seed):
        client, now, found = Client(Script(down=True), seed=seed), 0, []
        opened(client, 0)
        for most in longest:
            later = next_attempt(client, now, grain=most // 100)
            found.append((later - now) / most)
            now = later
            client.settle(now)
        return found

    of_seeds = [waits(seed) for seed in range(20)]
    assert waits(3) == of_seeds[3]
    for shares in zip(*of_seeds, strict=True):
        assert 0.5 <= min(shares) < 0.6
        assert 0.9 < max(shares) <= 1.01
        assert len(set(shares)) > 10


def test_waits_begin_anew_only_after_a_connection_that_has_lasted(wire):
    client = Client(wire)
    now = 0
    longest = []
    for up in (0, 0, 0, 0, MOST_WAIT, 0):
        now = next_attempt(client, now)
        wire.say(CONNACK)
        client.settle(now)
        now += up
        assert client.settle(now) == []
        wire.down = True
        assert client.settle(now)[0].cause is Cause.LINK_DOWN
        wire.down = False
        lost, now = now, next_attempt(client, now)
        longest.append(now - lost)
        wire.say(b"\x00\x00")
        client.settle(now)
    assert longest[3] > 4 * LEAST_WAIT  # several losses by now, two of them each time round
    assert longest[4] <= LEAST_WAIT


def test_nothing_of_a_connection_outlives_it(wire):
    client = connected(wire, filters=("a",))
    wire.takes = 0
    for _ in range(IN_FLIGHT):
        assert client.publish(Message("t", b"old", qos=1))[0] is Sent.QUEUED
    wire.say(publish("a", b"cut off")[:-1])
    client.settle(0)
    wire.down = True
    assert client.settle(0)[0].cause is Cause.LINK_DOWN
    assert client.publish(Message("t", b""))[0] is Sent.OFFLINE
    wire.down, wire.takes = False, 1000
    later = next_attempt(client, 0)
    wire.say(CONNACK)
    client.settle(later)
    assert b"old" not in wire.heard()
    assert client.publish(Message("t", b"", qos=1))[0] is Sent.QUEUED


def test_the_tail_of_a_link_that_cannot_hang_up_is_dropped(wire):
    """A UART: bytes of the old connection still come while the client waits."""
    client = connected(wire, filters=("a",))
    wire.say(b"\x00\x00")
    client.settle(0)
    wire.say(publish("a", b"of the old connection") * 10)
    later = next_attempt(client, 0)
    wire.say(CONNACK)
    assert client.settle(later)[0].kind is Kind.CONNECTED


def test_leaving_says_disconnect_behind_everything_and_waits_for_the_broker(wire):
    client = connected(wire)
    client.publish(Message("s", b"asleep", qos=1, retain=True))
    client.leave()
    assert client.publish(Message("t", b""))[0] is Sent.OFFLINE
    assert client.settle(0) == []
    assert wire.heard() == publish("s", b"asleep", 1, flags=1) + DISCONNECT
    assert wire.hung_up == 0
    wire.down = True
    (event,) = client.settle(1)
    assert (event.kind, event.cause) == (Kind.LOST, Cause.LEFT)
    assert client.settle(2_000_000_000) == []


def test_leaving_fits_however_full_the_buffer_is(wire):
    client = connected(wire, send=64)
    wire.takes = 0
    while client.publish(Message("t", b"x"))[0] is Sent.QUEUED:
        pass
    client.leave()
    wire.takes = 1
    client.settle(0)
    assert wire.heard().endswith(publish("t", b"x") + DISCONNECT)


def test_leaving_takes_a_second_where_no_link_can_go_down_and_ten_where_nothing_leaves(wire):
    client = connected(wire)
    client.leave()
    assert client.settle(0) == []
    assert client.settle(999) == []
    assert client.settle(1000)[0].cause is Cause.LEFT
    wire = Script()
    client = connected(wire)
    wire.takes = 0
    client.leave()
    assert client.settle(PATIENCE - 1) == []
    assert client.settle(PATIENCE)[0].cause is Cause.LEFT


@pytest.mark.parametrize("after", ["begin", "opening", "connect", "loss"])
def test_one_may_leave_at_any_time(wire, after):
    client = Client(wire)
    if after != "begin":
        assert client.step(0).kind is Kind.OPENING
    if after in ("connect", "loss"):
        client.settle(0)
    if after == "loss":
        wire.say(b"\x00\x00")
        client.settle(0)
    client.leave()
    events = [event.cause for now in (0, 1000, 2000, 100_000) for event in client.settle(now)]
    assert events == [Cause.LEFT]
    assert wire.heard().endswith(DISCONNECT) == (after == "connect")
