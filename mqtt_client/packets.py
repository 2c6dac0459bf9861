"""The packets of MQTT 3.1.1 that a client of QoS 1 sends and receives.

Section numbers are those of the OASIS standard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
REFUSED = 0x80  # of a subscription

_MOST_LENGTH_BYTES = 4
_CLEAN, _WILL, _WILL_QOS1, _WILL_RETAIN, _PASSWORD, _USERNAME = 2, 4, 8, 32, 64, 128

# 3.2.2.3; 0 is accepted.
CONNECT_RETURNS = {
    1: "Unacceptable protocol version",
    2: "Client identifier not valid",
    3: "Server unavailable",
    4: "Bad user name or password",
    5: "Not authorized",
}


class MalformedPacket(ValueError):  # noqa: N818 - says what came
    """Bytes that are no packet which a broker may send to such a client."""


class Packet(NamedTuple):
    """One packet: its type, the flags beside it, and what follows the length."""

    kind: int
    flags: int
    body: bytes


def connect(
    client_id: str,
    keepalive: int,
    will: tuple[str, bytes] | None,
    username: str | None,
    password: str | None,
) -> bytes:
    """CONNECT (3.1), clean session; the will is retained, QoS 1."""
    flags = _CLEAN
    fields = [_text(client_id)]
    if will is not None:
        flags |= _WILL | _WILL_QOS1 | _WILL_RETAIN
        fields += [_text(will[0]), _field(will[1])]
    if username is not None:
        flags |= _USERNAME
        fields.append(_text(username))
        if password is not None:
            flags |= _PASSWORD
            fields.append(_text(password))
    head = b"\x00\x04MQTT\x04" + bytes([flags]) + keepalive.to_bytes(2)
    return _packet(0x10, head + b"".join(fields))


def subscribe(packet_id: int, topics: Iterable[str]) -> bytes:
    """SUBSCRIBE (3.8) with QoS 1."""
    asked = b"".join(_text(topic) + b"\x01" for topic in topics)
    return _packet(0x82, packet_id.to_bytes(2) + asked)


def publish(packet_id: int, topic: str, payload: bytes, *, retain: bool) -> bytes:
    """PUBLISH (3.3) with QoS 1."""
    return _packet(0x32 | retain, _text(topic) + packet_id.to_bytes(2) + payload)


def puback(packet_id: int) -> bytes:
    """PUBACK (3.4)."""
    return b"\x40\x02" + packet_id.to_bytes(2)


def publish_size(topic: str, payload: bytes) -> int:
    """Bytes of the PUBLISH packet of a message, fixed header included."""
    remaining = 2 + len(topic.encode()) + 2 + len(payload)
    return 1 + len(_length(remaining)) + remaining


class Message(NamedTuple):
    """A PUBLISH that came in; `packet_id` is to be acknowledged, 0 is not (QoS 0)."""

    topic: str
    payload: bytes
    packet_id: int


def read_publish(packet: Packet) -> Message:
    """The message of a PUBLISH; MalformedPacket where it is none."""
    body, qos = packet.body, packet.flags >> 1 & 3
    start = 2 + int.from_bytes(body[:2])
    end = start + 2 * (qos > 0)
    if qos > 1 or len(body) < max(end, 2):
        raise MalformedPacket(f"PUBLISH of {len(body)} bytes, QoS {qos}")
    try:
        topic = body[2:start].decode()
    except UnicodeDecodeError as error:
        raise MalformedPacket(f"PUBLISH topic: {error}") from error
    return Message(topic, body[end:], int.from_bytes(body[start:end]))


def read_packet_id(packet: Packet) -> int:
    """What a PUBACK or SUBACK answers."""
    if len(packet.body) < 2:
        raise MalformedPacket(f"an answer of {len(packet.body)} bytes")
    return int.from_bytes(packet.body[:2])


class Packets:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole with `data`; MalformedPacket for a length that is none."""
        data = self._rest + data if self._rest else data
        at = 0
        while (head := _read_length(data, at + 1)) is not None:
            start, size = head
            if start + size > len(data):
                break
            yield Packet(data[at] >> 4, data[at] & 15, data[start : start + size])
            at = start + size
        self._rest = data[at:]


def _read_length(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body begins and its size (2.2.3); None while bytes of them are missing."""
    size = 0
    for i, octet in enumerate(data[at : at + _MOST_LENGTH_BYTES]):
        size |= (octet & 127) << 7 * i
        if octet < 128:
            return at + i + 1, size
    if len(data) >= at + _MOST_LENGTH_BYTES:
        raise MalformedPacket("a length of more than four bytes")
    return None


def _length(size: int) -> bytes:
    encoded = bytearray()
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + _length(len(body)) + body


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _text(value: str) -> bytes:
    return _field(value.encode())
