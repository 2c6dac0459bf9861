"""What comes in from devices, made safe: payloads to messages, updates to arrays."""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.accumulate import OutOfRangeError, Plausible, plausible
from wire.cbor import decode
from wire.codec import Codec
from wire.digest import digest_of
from wire.errors import CodecError, WireError
from wire.messages import Block, Decline, Hello, Message, Need, Offer, Presence, Reason
from wire.topics import Topics

_ALLOWED: dict[str, set[type[Message]]] = {
    "state": {Presence},
    "gateway": {Presence},
    "up": {Hello, Need, Block, Offer, Decline},
}


@dataclass(frozen=True, slots=True)
class OfGateway:
    """What is said of a gateway, and so of the devices behind it."""

    presence: Presence


@dataclass(frozen=True, eq=False, slots=True)
class Content:
    """The bytes of an update that were found good, and what they say."""

    payload: bytes
    delta: Plausible  # (unmasked parameters,)


def read(topics: Topics, topic: str, payload: bytes) -> tuple[str, Message | OfGateway | Reason]:
    """Who sent what.  The device is "" if the topic is nobody's; a Reason says what is wrong."""
    sender = topics.sender(topic)
    if sender is None:
        return "", Reason.MALFORMED
    device, channel = sender
    try:
        message = decode(payload)
    except WireError:
        return device, Reason.MALFORMED
    if type(message) not in _ALLOWED[channel]:
        return device, Reason.MALFORMED
    if channel == "gateway" and isinstance(message, Presence):
        return device, OfGateway(message)
    return device, message


def judge(
    offer: Offer, payload: bytes, codec: Codec, size: int, bounds: tuple[int, ...]
) -> Content | Reason:
    """The update that `payload` is, or why it is none.

    CORRUPT if the bytes are not those that were offered, MALFORMED if they do
    not decode, OUT_OF_RANGE if a value is not finite or too large.
    """
    if digest_of(payload) != offer.manifest.digest:
        return Reason.CORRUPT
    try:
        delta = plausible(codec.decode(payload, size, bounds))
    except CodecError:
        return Reason.MALFORMED
    except OutOfRangeError:
        return Reason.OUT_OF_RANGE
    return Content(payload, delta)
