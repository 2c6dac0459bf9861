"""What can happen to a device, and what it can do: the nouns of the state machine.

What comes with every update is a NamedTuple, for the sake of time as in `device_sim.state`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from device_sim.feedback import Kept
from device_sim.models import Model
from wire.messages import Message, Reason, Task


class Topic(Enum):
    """The four topics of one device; `wire.topics` has their names."""

    STATE = "state"  # own Presence, retained
    UP = "up"  # to the aggregator
    DOWN = "down"  # from the aggregator
    ANNOUNCE = "announce"  # from the aggregator to all, retained


@dataclass(frozen=True, slots=True)
class Connected:
    """A new session with the broker has begun and its subscriptions are in force."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The session has ended; nothing that is published now would arrive."""


class Received(NamedTuple):
    """Bytes from the broker, whoever sent them."""

    topic: Topic  # DOWN or ANNOUNCE
    payload: bytes


class Update(NamedTuple):
    """What local training gave: coded, with the losses on the device's own samples."""

    data: bytes
    samples: int
    loss_before: float
    loss_after: float
    kept: Kept | None = None  # what updates have left out, once this one is accepted


class Trained(NamedTuple):
    """The work of `task` is done."""

    task: Task
    update: Update


@dataclass(frozen=True, slots=True)
class NotTrained:
    """The work of `task` failed."""

    task: Task


@dataclass(frozen=True, slots=True)
class BatteryLow:
    """From now on there is no energy to train."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that `wake` asked for has come."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The process that runs the device was told to end."""


Event = Connected | Lost | Received | Trained | NotTrained | BatteryLow | Tick | Stop


class Publish(NamedTuple):
    """Send a message on an own topic: UP, or STATE (retained)."""

    topic: Topic
    message: Message
    retain: bool = False


class Train(NamedTuple):
    """Do the work of `task` on `model`, and come back with Trained or NotTrained."""

    task: Task
    model: Model
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Disconnect for good."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that came in was not used; `kind` is one of a small fixed set of words."""

    kind: str


class Judged(NamedTuple):
    """The aggregator's answer to an own update; comes once for each (round, nonce)."""

    round: int
    nonce: bytes
    reason: Reason


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The device stops asking what became of an own update: it may have been taken, or not."""

    round: int
    nonce: bytes


Effect = Publish | Train | Leave | Refused | Judged | Unanswered
