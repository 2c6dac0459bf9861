"""What a hostile broker says to a node: packets and messages, seeded, endlessly.

Three kinds.  A *message* is a PUBLISH that MQTT allows, whose payload is not a message of the
protocol, or is one with absurd fields.  A *nuisance* is a packet that a client must put up with:
acknowledgements of nothing, repetitions, packets longer than any buffer.  A *violation* is a
packet that no broker may send, or a valid one with bytes changed, cut off or a length that lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wire.cbor import decode, encode
from wire.errors import WireError
from wire.messages import (
    Announce,
    Block,
    Kind,
    Manifest,
    Message,
    Need,
    Phase,
    Reason,
    Recipe,
    Task,
    Verdict,
)

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0
DUPLICATE, RETAINED, QOS_1 = 8, 1, 2
MARKER = 0xBEEF  # the identifier that no generated packet has
MOST = 2**32 - 1


def packet(first: int, body: bytes = b"", *, length: int | None = None) -> bytes:
    """A control packet; `length` is the remaining length that it claims to have."""
    left, size = len(body) if length is None else length, bytearray()
    while True:
        size.append(left & 127 | (128 if left > 127 else 0))
        left >>= 7
        if not left:
            return bytes([first, *size]) + body


def publish(topic: str, payload: bytes, identifier: int = 0, flags: int = 0) -> bytes:
    """A PUBLISH; with an identifier its QoS is 1."""
    name = topic.encode()
    head = len(name).to_bytes(2) + name
    if identifier:
        flags, head = flags | QOS_1, head + identifier.to_bytes(2)
    return packet(PUBLISH | flags, head + payload)


@dataclass(frozen=True)
class Malice:
    """A source of hostile bytes.

    topics: what the node is subscribed to.  base: the SHA-256 that it holds, so that some
    messages get further than the first comparison.
    """

    random: np.random.Generator
    topics: tuple[str, ...]
    base: bytes

    def messages(self) -> Iterator[tuple[bytes, bool]]:
        """Packets, and whether the payload is malformed by the protocol: nine of ten are."""
        while True:
            wanted = self._chance(0.9)
            payload = self._payload(0.95 if wanted else 0.0)
            malformed = _is_malformed(payload)
            if malformed != wanted or _ends_the_run(payload):
                continue
            identifier = self._below(MARKER) if self._chance(0.7) else 0
            flags = RETAINED * self._chance(0.3) | DUPLICATE * (identifier and self._chance(0.2))
            yield publish(self._topic(), payload, identifier, flags), malformed

    def nuisance(self) -> bytes:
        """A packet that must change nothing."""
        match self._below(5):
            case 0:
                return packet(PUBACK, self._below(2**16 - 1, 1).to_bytes(2))
            case 1:
                return packet(SUBACK, self._bytes(self._below(20)))
            case 2:
                return packet(PINGRESP)
            case 3:
                return publish("x" * self._below(2000, 1), self._bytes(self._below(2000, 1)))
            case _:
                size = self._below(20_000, 3_000)
                return publish(self._topic(), self._bytes(size), self._below(MARKER))

    def violation(self) -> bytes:
        """A packet that ends a connection, nearly always."""
        good = publish(self._topic(), self._payload(0.5), self._below(MARKER))
        match self._below(6):
            case 0:  # noise
                return self._bytes(self._below(40, 2))
            case 1:  # a type or flags that a broker does not send
                first = self._below(256)
                return packet(first, good[2 : 2 + self._below(len(good))])
            case 2:  # a length that lies
                lie = self._below(2 ** self._below(29, 1))
                return packet(good[0], good[2:], length=lie)
            case 3:  # a length without an end
                return bytes([good[0], *([0xFF] * self._below(9, 4))])
            case 4:  # a topic or identifier beyond the packet
                return packet(PUBLISH | QOS_1, self._below(2**16).to_bytes(2) + good[4:9])
            case _:
                return self._changed(good, self._below(5, 1))

    def last_word(self) -> bytes:
        """A task of the last round that there can be: after it, all others look old."""
        task = Task(MOST, 0, self.base, self._recipe(), "none", 0, 3600, ())
        return publish(self.topics[0], encode(task), 1)

    def _payload(self, change: float) -> bytes:
        if change and self._chance(0.1):
            return self._bytes(self._below(200))
        payload = encode(self._message())
        return self._changed(payload, self._below(5, 1)) if self._chance(change) else payload

    def _message(self) -> Message:
        base = self.base if self._chance(0.7) else self._bytes(32)
        big = self._below(MOST)
        match self._below(6):
            case 0:
                phase = (Phase.WAITING, Phase.TRAINING)[self._below(2)]
                return Announce(big, phase, self._below(MOST), self._below(3), base)
            case 1 | 2:
                objects = tuple(self._manifest() for _ in range(self._below(3)))
                codec = ("microfed", "x" * 32, "")[self._below(3)]
                return Task(
                    big, self._below(3), base, self._recipe(), codec, big, 60, objects,
                    check=self._below(2), budget=self._below(2) * self._below(MOST),
                )  # fmt: skip
            case 3:
                bitmap = self._bytes(self._below(65, 1))
                return Need(self._bytes(8), self._below(2000, 16), self._below(MOST), bitmap)
            case 4:
                total, crc = self._below(MOST, 1), self._below(MOST)
                data = self._bytes(self._below(300, 1))
                return Block(self._bytes(8), self._below(MOST), total, crc, data)
            case _:
                return Verdict(big, self._bytes(8), Reason(self._below(10)))

    def _recipe(self) -> Recipe:
        rate = float(np.float32(10.0 ** self._below(30, -20)))
        return Recipe(self._below(3, 1), self._below(65536, 1), rate)

    def _manifest(self) -> Manifest:
        kind = tuple(Kind)[self._below(len(Kind))]
        return Manifest(kind, self._below(2**20, 1), self._bytes(32), 0, self._below(3))

    def _changed(self, data: bytes, times: int) -> bytes:
        changed = bytearray(data)
        for _ in range(times):
            at = self._below(len(changed) + 1)
            match self._below(4):
                case 0:
                    changed[at : at + 1] = self._bytes(1)
                case 1:
                    changed[at:at] = self._bytes(self._below(4))
                case 2:
                    del changed[at : at + self._below(8)]
                case _:
                    del changed[at:]
        return bytes(changed)

    def _topic(self) -> str:
        return self.topics[self._below(len(self.topics))]

    def _below(self, end: int, first: int = 0) -> int:
        return int(self.random.integers(first, max(end, first + 1)))

    def _chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def _bytes(self, size: int) -> bytes:
        return self.random.bytes(size)


def _is_malformed(payload: bytes) -> bool:
    try:
        decode(payload)
    except WireError:
        return True
    return False


def _ends_the_run(payload: bytes) -> bool:
    """Whether it says that the run is over: a node that believes that is right to leave."""
    try:
        said = decode(payload)
    except WireError:
        return False
    return isinstance(said, Announce) and said.phase is Phase.FINISHED
