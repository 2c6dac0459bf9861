"""The nouns of the protocol: every message that crosses the broker.

Each class is one CBOR map with integer keys (RFC 8949); key 0 is the message
type.  The number given to each field below is its key on the wire and never
changes its meaning.  `wire.cbor` turns these objects into bytes and back;
docs/protocol.md specifies both for people who write a client in C.

A class has no slots: `wire.cbor` fills the dict of an instance at once.

Units: sizes are bytes, times are seconds, `session` and `round` count from 1,
`version` counts from 0 (the base file as it left the pipeline).
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from enum import IntEnum
from typing import Any

from wire.digest import digest_of
from wire.fields import blob, many, real, record, text, uint

PROTOCOL = 1
MAX_BLOCK = 128 * 1024
MAX_OBJECT = 16 * 1024 * 1024
DIGEST_BYTES = 32
OBJECT_ID_BYTES = 8
NONCE_BYTES = 8
TRAINS_BYTES = 32  # a bit for each of 256 tensors
# Objects travel inside a Task that are together so much shorter than a Block's data: the Task
# is then no longer than the Block, whatever else it says.
TASK_ROOM = 288


class Status(IntEnum):
    """What a device or the aggregator says of itself on its retained state topic."""

    ONLINE = 1
    SLEEPING = 2  # left on purpose, will come back
    LOST = 3  # said by the broker: the last will


class Phase(IntEnum):
    """Where the run stands, as the retained announcement says."""

    WAITING = 1  # for enough devices to begin
    TRAINING = 2
    FINISHED = 3  # devices may disconnect


class Kind(IntEnum):
    """What a transferred object is."""

    BASE = 1  # the base .tflite file, deflated
    DIFFERENCE = 2  # from one model version to a later one
    UPDATE = 3  # a coded client update


class Reason(IntEnum):
    """The aggregator's answer to an update: accepted, or why not."""

    ACCEPTED = 0
    LATE = 1  # its round has closed
    DUPLICATE = 2  # another update of this device was taken for this round
    MALFORMED = 3  # not a message of this protocol, or fields that contradict each other
    STALE = 4  # trained from another model version than the round's
    FOREIGN = 5  # the device is not in the round's cohort
    TOO_LARGE = 6
    CORRUPT = 7  # CRC-32 or SHA-256 does not match
    OUT_OF_RANGE = 8  # decodes to values no honest training gives (not finite, or huge)
    UNSUPPORTED = 9  # a codec, or a choice of what trains, that the round does not use


class Refusal(IntEnum):
    """Why a device will not take part in a round it was chosen for."""

    BATTERY = 1
    NO_DATA = 2
    UNSUPPORTED = 3  # protocol, model or codec it cannot handle
    FAILED = 4  # tried, and could not


@dataclass(frozen=True)
class Presence:
    """Birth, sleep or death; retained, and the last will of its session.

    A will carries the session it was made in, so that a late will of an old
    session is not taken for the death of the new one (Sparkplug B, bdSeq).
    """

    session: int = uint(1)
    status: Status = uint(2, enum=Status)


@dataclass(frozen=True)
class Hello:
    """A device introduces itself, once a session and when the aggregator's session changes."""

    session: int = uint(1)
    protocol: int = uint(2)
    buffer: int = uint(3, least=256, most=MAX_BLOCK)  # largest block payload it can take
    samples: int = uint(4)  # local training samples
    board: str = text(5, most=32)
    base: bytes = blob(6, most=DIGEST_BYTES, default=b"")  # SHA-256 of the base file held
    version: int = uint(7, default=0)  # model version held, counted from that base
    check: int = uint(8, default=0)  # of that version: difference.check_of; 0 for version 0
    gateway: str = text(9, most=32, default="")  # that speaks for it; empty: it speaks for itself


@dataclass(frozen=True)
class Announce:
    """The small retained message that tells every device where the run stands."""

    session: int = uint(1)  # the aggregator's
    phase: Phase = uint(2, enum=Phase)
    round: int = uint(3)
    version: int = uint(4)
    base: bytes = blob(5, least=DIGEST_BYTES, most=DIGEST_BYTES)


@dataclass(frozen=True)
class Manifest:
    """An object that can be pulled in blocks: what it is, and what it must hash to."""

    kind: Kind = uint(1, enum=Kind)
    size: int = uint(2, least=1, most=MAX_OBJECT)
    digest: bytes = blob(3, least=DIGEST_BYTES, most=DIGEST_BYTES)
    source: int = uint(4, default=0)  # DIFFERENCE: applies to this version
    target: int = uint(5, default=0)  # DIFFERENCE: gives this version

    @property
    def id(self) -> bytes:
        """The short name that Need and Block carry: the first bytes of the digest."""
        return self.digest[:OBJECT_ID_BYTES]


@dataclass(frozen=True)
class Recipe:
    """How to train locally.  Values travel as float32."""

    epochs: int = uint(1, least=1, most=1000)
    batch: int = uint(2, least=1, most=65536)
    learning_rate: float = real(3)
    momentum: float = real(4, default=0.0)
    weight_decay: float = real(5, default=0.0)
    proximal: float = real(6, default=0.0)  # FedProx mu
    clip_norm: float = real(7, default=0.0)  # global gradient norm; 0 is off
    rotation: float = real(8, default=0.0)  # degrees, of three-axis sensor data; 0 is off
    fake_quantize: int = uint(9, most=1, default=0)  # 1: activations rounded as int8 will be
    trains: bytes = blob(10, most=TRAINS_BYTES, default=b"")  # a bit for each tensor; empty: all


@dataclass(frozen=True)
class Task:
    """The aggregator asks one device to take part in one round.

    Short objects ride along, one after the other; long ones are pulled in blocks.
    """

    round: int = uint(1, least=1)
    version: int = uint(2)
    base: bytes = blob(3, least=DIGEST_BYTES, most=DIGEST_BYTES)
    recipe: Recipe = record(4, Recipe)
    codec: str = text(5, most=32)
    seed: int = uint(6)
    deadline: int = uint(7)  # seconds from receipt
    objects: tuple[Manifest, ...] = many(8, Manifest, most=2)  # to pull first, in this order
    check: int = uint(9, default=0)  # of the version to train from, as in Hello
    budget: int = uint(10, default=0)  # bytes of the update; 0: the codec's own choice
    data: bytes = blob(11, most=MAX_BLOCK, default=b"")  # the objects themselves, if they are short


@dataclass(frozen=True)
class Need:
    """A receiver asks for the blocks of an object that it lacks.

    Bit i of `bitmap` (byte i // 8, least significant first) asks for block
    `first + i`.  The sender sends at most the blocks asked for; asking again
    is how a transfer resumes.
    """

    id: bytes = blob(1, least=OBJECT_ID_BYTES, most=OBJECT_ID_BYTES)
    block: int = uint(2, least=16, most=MAX_BLOCK)  # payload bytes of each block but the last
    first: int = uint(3)
    bitmap: bytes = blob(4, least=1, most=64)


@dataclass(frozen=True)
class Block:
    """One piece of an object.  Idempotent: it may arrive any number of times."""

    id: bytes = blob(1, least=OBJECT_ID_BYTES, most=OBJECT_ID_BYTES)
    index: int = uint(2)
    total: int = uint(3, least=1)
    crc: int = uint(4)  # CRC-32 of data (zlib's)
    data: bytes = blob(5, least=1, most=MAX_BLOCK)


def _manifest_of_data(data: Any) -> Any:
    """The manifest that an Offer with its update inside need not send."""
    if type(data) is not bytes or not data:
        return MISSING
    return Manifest(Kind.UPDATE, len(data), digest_of(data))


@dataclass(frozen=True)
class Offer:
    """A device has an update.  A short one rides along; a long one is pulled in blocks.

    (device, round, nonce) names an update: it is counted once however often
    it arrives.
    """

    round: int = uint(1, least=1)
    nonce: bytes = blob(2, least=NONCE_BYTES, most=NONCE_BYTES)
    version: int = uint(3)
    codec: str = text(4, most=32)
    samples: int = uint(5, least=1, most=2**20)
    loss_before: float = real(6)  # of the model as received, on the device's data
    loss_after: float = real(7)
    manifest: Manifest = record(8, Manifest, derived=("data", _manifest_of_data))
    data: bytes = blob(9, most=MAX_BLOCK, default=b"")
    check: int = uint(10, default=0)  # of the version it was trained from, as in Hello
    trains: bytes = blob(11, most=TRAINS_BYTES, default=b"")  # as in Recipe: whose values it has


@dataclass(frozen=True)
class Verdict:
    """The aggregator's answer to an Offer; repeated whenever the Offer is, and after a Hello."""

    round: int = uint(1)
    nonce: bytes = blob(2, least=NONCE_BYTES, most=NONCE_BYTES)
    reason: Reason = uint(3, enum=Reason)


@dataclass(frozen=True)
class Decline:
    """A device chosen for a round will not take part in it."""

    round: int = uint(1)
    reason: Refusal = uint(2, enum=Refusal)


Message = Presence | Hello | Announce | Task | Need | Block | Offer | Verdict | Decline

TYPES: dict[int, type[Message]] = {
    1: Presence,
    2: Hello,
    3: Announce,
    4: Task,
    5: Need,
    6: Block,
    7: Offer,
    8: Verdict,
    9: Decline,
}
