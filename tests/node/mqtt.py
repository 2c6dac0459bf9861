"""The node's MQTT client from Python: its transport and its clock are the test's."""

from __future__ import annotations

import ctypes
import enum
import functools
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[2]
LEAST_WAIT, MOST_WAIT, PATIENCE = 500, 30_000, 10_000  # milliseconds, of mqtt.h
IN_FLIGHT = 8

FROM_CLIENT = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int32
)


class Kind(enum.IntEnum):
    """mf_mqtt_kind."""

    NOTHING, WORKING, OPENING, CONNECTED, MESSAGE, PUBLISHED, LOST = range(7)


class Cause(enum.IntEnum):
    """mf_mqtt_cause."""

    NONE, LINK_DOWN, TIMED_OUT, MALFORMED, REFUSED, NOT_SUBSCRIBED, CRAMPED, LEFT = range(8)


class Sent(enum.IntEnum):
    """mf_mqtt_sent."""

    QUEUED, OFFLINE, FULL, TOO_LONG, BAD_MESSAGE = range(5)


class _Transport(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("send", ctypes.c_void_p),
        ("receive", ctypes.c_void_p),
    ]


class _Message(ctypes.Structure):
    _fields_ = [
        ("topic", ctypes.c_void_p),
        ("payload", ctypes.c_void_p),
        ("topic_size", ctypes.c_int32),
        ("payload_size", ctypes.c_int32),
        ("qos", ctypes.c_uint8),
        ("retain", ctypes.c_bool),
    ]


class _Settings(ctypes.Structure):
    _fields_ = [
        ("client_id", ctypes.c_char_p),
        ("username", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("filters", ctypes.POINTER(ctypes.c_char_p)),
        ("filter_count", ctypes.c_int32),
        ("will", ctypes.POINTER(_Message)),
        ("keep_alive", ctypes.c_uint16),
        ("seed", ctypes.c_uint32),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("message", _Message),
        ("cause", ctypes.c_int),
        ("id", ctypes.c_uint16),
        ("code", ctypes.c_uint8),
    ]


class Counts(ctypes.Structure):
    """mf_mqtt_counts."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("sent", "received", "connections", "malformed", "skipped", "unexpected")
    ]


@dataclass
class Message:
    """A message, sent or received, or a will."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False

    def lowered(self) -> _Message:
        """For C, which reads it while this object lives."""
        self._topic = ctypes.create_string_buffer(self.topic.encode())
        self._payload = ctypes.create_string_buffer(self.payload, max(1, len(self.payload)))
        return _Message(
            ctypes.addressof(self._topic),
            ctypes.addressof(self._payload),
            len(self.topic.encode()),
            len(self.payload),
            self.qos,
            self.retain,
        )


@dataclass
class Event:
    """What a step said."""

    kind: Kind
    message: Message | None = None
    cause: Cause = Cause.NONE
    id: int = 0
    code: int = 0


class Wire(Protocol):
    """A transport: the two functions of microfed/transport.h."""

    def send(self, data: bytes) -> int: ...
    def receive(self, size: int) -> bytes | None: ...


@dataclass
class Script:
    """A broker by hand: `said` is what the client sent, `say` what it will receive."""

    said: bytearray = field(default_factory=bytearray)
    coming: bytearray = field(default_factory=bytearray)
    down: bool = False
    takes: int = 1 << 20  # bytes that one call of send takes
    hung_up: int = 0

    def send(self, data: bytes) -> int:
        if not data:
            self.hung_up += 1
            self.coming.clear()
            return 0
        if self.down:
            return -1
        taken = data[: self.takes]
        self.said += taken
        return len(taken)

    def receive(self, size: int) -> bytes | None:
        if self.down:
            return None
        given = bytes(self.coming[:size])
        del self.coming[:size]
        return given

    def say(self, *packets: bytes) -> None:
        self.coming += b"".join(packets)

    def heard(self) -> bytes:
        """What came since the last call."""
        data = bytes(self.said)
        self.said.clear()
        return data


def packet(first: int, body: bytes = b"") -> bytes:
    """A control packet with its remaining length."""
    size, left = bytearray(), len(body)
    while True:
        size.append(left & 127 | (128 if left > 127 else 0))
        left >>= 7
        if not left:
            return bytes([first, *size]) + body


def text(value: str | bytes) -> bytes:
    """A field with its length."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2) + data


def publish(topic: str, payload: bytes, identifier: int = 0, flags: int = 0) -> bytes:
    """A PUBLISH; with an identifier it is QoS 1."""
    head = text(topic) + (identifier.to_bytes(2) if identifier else b"")
    return packet(0x30 | flags | (2 if identifier else 0), head + payload)


CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\xff\xff\x01"
PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"


@functools.cache
def library() -> ctypes.CDLL:
    """The client, compiled; MICROFED_MQTT names another build of it."""
    path = os.environ.get("MICROFED_MQTT")
    if path is None:
        subprocess.run(["make", "-s", "-C", ROOT / "firmware" / "node"], check=True)
        path = str(ROOT / "build" / "node" / "libmqtt.so")
    loaded = ctypes.CDLL(path)
    loaded.mf_mqtt_leave.restype = None
    loaded.mf_mqtt_room.restype = ctypes.c_void_p
    loaded.mf_socket_begin.restype = ctypes.c_char_p
    loaded.mf_socket_transport.restype = _Transport
    return loaded


class Client:
    """One mf_mqtt with its buffers, over a Wire or over posix/socket.c."""

    def __init__(
        self,
        wire: Wire | tuple[str, int],
        *,
        client_id: str = "fleet-one",
        username: str | None = None,
        password: str | None = None,
        filters: tuple[str, ...] = (),
        will: Message | None = None,
        keep_alive: int = 60,
        seed: int = 1,
        send: int = 1024,
        receive: int = 1024,
    ) -> None:
        self._lib = library()
        self._client = (ctypes.c_uint64 * 128)()
        self._out, self._in = (
            ctypes.create_string_buffer(send),
            ctypes.create_string_buffer(receive),
        )
        self._names = (ctypes.c_char_p * len(filters))(*(name.encode() for name in filters))
        self._will = will
        self._lowered_will = will.lowered() if will else None
        self._settings = _Settings(
            client_id.encode(),
            username.encode() if username is not None else None,
            password.encode() if password is not None else None,
            self._names,
            len(filters),
            ctypes.pointer(self._lowered_will) if self._lowered_will else None,
            keep_alive,
            seed,
        )
        self._transport = self._over(wire)
        self.status = self._lib.mf_mqtt_begin(
            self._client, ctypes.byref(self._settings), ctypes.byref(self._transport),
            self._out, send, self._in, receive,
        )  # fmt: skip

    def _over(self, wire: Wire | tuple[str, int]) -> _Transport:
        if isinstance(wire, tuple):
            self._socket = (ctypes.c_uint64 * 32)()
            host, port = wire
            assert (
                self._lib.mf_socket_begin(self._socket, host.encode(), str(port).encode()) is None
            )
            return self._lib.mf_socket_transport(self._socket)

        def send(_context, data, size):
            return wire.send(ctypes.string_at(data, size) if size else b"")

        def receive(_context, data, size):
            got = wire.receive(size)
            if got is None:
                return -1
            ctypes.memmove(data, got, len(got))
            return len(got)

        self._kept = FROM_CLIENT(send), FROM_CLIENT(receive)
        return _Transport(None, *(ctypes.cast(f, ctypes.c_void_p) for f in self._kept))

    @property
    def counts(self) -> Counts:
        return Counts.from_buffer(self._client)

    def set_will(self, payload: bytes) -> None:
        """Write into the will's payload, as a caller does at OPENING."""
        assert self._will is not None
        ctypes.memmove(self._lowered_will.payload, payload, len(payload))
        self._lowered_will.payload_size = len(payload)

    def step(self, now: int) -> Event:
        event = _Event()
        kind = Kind(self._lib.mf_mqtt_step(self._client, ctypes.c_uint32(now), ctypes.byref(event)))
        message = None
        if kind is Kind.MESSAGE:
            m = event.message
            message = Message(
                ctypes.string_at(m.topic, m.topic_size).decode(errors="surrogateescape"),
                ctypes.string_at(m.payload, m.payload_size),
                m.qos,
                m.retain,
            )
        return Event(kind, message, Cause(event.cause), event.id, event.code)

    def settle(self, now: int) -> list[Event]:
        """Steps at one instant until nothing more happens; what happened, WORKING left out."""
        events = []
        for _ in range(10_000):
            event = self.step(now)
            if event.kind is Kind.NOTHING:
                return events
            if event.kind is not Kind.WORKING:
                events.append(event)
        raise AssertionError(f"no rest at {now}: {events[-5:]}")

    def publish(self, message: Message) -> tuple[Sent, int]:
        chosen = ctypes.c_uint16()
        lowered = message.lowered()
        sent = self._lib.mf_mqtt_publish(self._client, ctypes.byref(lowered), ctypes.byref(chosen))
        return Sent(sent), chosen.value

    def publish_in_place(self, message: Message) -> Sent:
        """The payload is written into mf_mqtt_room first."""
        room = ctypes.c_int32()
        lowered = message.lowered()
        at = self._lib.mf_mqtt_room(self._client, lowered.topic_size, ctypes.byref(room))
        if at is None or room.value < len(message.payload):
            return Sent.FULL
        ctypes.memmove(at, message.payload, len(message.payload))
        lowered.payload = at
        return Sent(self._lib.mf_mqtt_publish(self._client, ctypes.byref(lowered), None))

    def leave(self) -> None:
        self._lib.mf_mqtt_leave(self._client)


def connected(wire: Script, now: int = 0, **settings) -> Client:
    """A client that is up, what it said so far forgotten."""
    client = Client(wire, **settings)
    assert client.status == 0
    assert client.step(now).kind is Kind.OPENING
    wire.say(CONNACK)
    assert [event.kind for event in client.settle(now)] == [Kind.CONNECTED]
    if settings.get("filters"):
        wire.say(packet(0x90, b"\xff\xff" + b"\x01" * len(settings["filters"])))
        assert client.settle(now) == []
    wire.heard()
    return client


def opened(client: Client, now: int) -> None:
    """Step at `now` to CONNECT."""
    assert client.step(now).kind is Kind.OPENING
    client.settle(now)


def next_attempt(client: Client, now: int, grain: int = 1) -> int:
    """The time of the next OPENING, at most `grain` milliseconds late."""
    for later in range(now, now + MOST_WAIT + 2 * grain, grain):
        if client.step(later).kind is Kind.OPENING:
            return later
    raise AssertionError("no new attempt")
