"""What a roll-out will cost a device: the messages of the protocol, counted before they are sent.

The messages are built and encoded as they will be, with the sizes that are known: the base file,
the codec's update.  How large the differences between versions will be depends on the data; the
caller says it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from device_sim.energy import Costs, Energy
from device_sim.radio import Way
from tflite_models.boards import Board
from wire.blocks import WINDOW, block_of, count
from wire.cbor import encode
from wire.codec import CODECS
from wire.messages import (
    NONCE_BYTES,
    PROTOCOL,
    TASK_ROOM,
    Announce,
    Hello,
    Kind,
    Manifest,
    Message,
    Need,
    Offer,
    Phase,
    Presence,
    Reason,
    Recipe,
    Status,
    Task,
    Verdict,
)
from wire.objects import manifest_of

LARGE = 2**32 - 1  # a seed, a check: as many bytes as most have
DAY = 86_400.0


@dataclass(frozen=True)
class Rollout:
    """What is going to be done, as far as one device sees it."""

    board: Board
    gateway: str  # that speaks for the device, or ""
    recipe: Recipe
    codec: str
    budget: int
    block: int  # bytes of an object in one message
    rounds: int
    taken: int  # of them, that the device takes part in: 1 or more
    devices: int  # of the fleet
    cohort: int  # devices in a round
    samples: int
    deadline: int
    base: int  # bytes of the packed base file
    catch_up: int  # bytes of a difference beside it, where a device joins late; 0: none
    differences: tuple[int, ...]  # bytes to pull for the second round that it takes part in, …
    update: int  # bytes


@dataclass(frozen=True)
class Messages:
    """Sizes of payloads, each way."""

    up: tuple[int, ...]
    down: tuple[int, ...]

    def __add__(self, other: Messages) -> Messages:
        return Messages(self.up + other.up, self.down + other.down)


@dataclass(frozen=True)
class Leg:
    """One part of the way, how often it is gone, and what each time costs."""

    messages: Messages
    times: int
    energy: Energy  # of all times
    seconds: float  # each time: radio and training


@dataclass(frozen=True)
class Plan:
    """What a device spends until the last round has closed."""

    bytes_up: int
    bytes_down: int
    round_up: int  # of a usual round, not the first
    round_down: int
    energy: Energy
    inference: float  # joules, of the device's own work between rounds
    seconds_round: float  # that a usual round takes a device: radio and training
    days: float
    silent: float  # seconds of a round that a duty cycle makes it wait; 0: none

    @property
    def joules(self) -> float:
        """All that a device spends."""
        return self.energy.total + self.inference


def update_size(codec: str, bounds: tuple[int, ...], budget: int) -> int:
    """Bytes of an update of values that are as likely one as another."""
    delta = np.random.default_rng(1).standard_normal(bounds[-1], np.float32)
    return len(CODECS[codec].encode(delta, bounds, budget, 1))


def differences(rehearsed: Iterable[int], decay: float, rounds: int) -> tuple[int, ...]:
    """Sizes of the differences that rounds 1 … `rounds` make, from those that were rehearsed.

    Those after shrink from the last few as the root of the learning rate: a rough guess, see
    docs/decisions/2026-11-21-joules-from-instructions.md.
    """
    sizes = list(rehearsed)[:rounds]
    last = sizes[-4:]
    mean, middle = sum(last) / len(last), len(sizes) - (len(last) - 1) / 2
    later = range(len(sizes) + 1, rounds + 1)
    return (*sizes, *(round(mean * sqrt(decay) ** (n - middle)) for n in later))


def plan(rollout: Rollout, costs: Costs, interval: float, inferences: float) -> Plan:
    """Plan a device's way through all rounds.

    interval: seconds from one round to the next, between which the device sleeps and is not
    connected; 0: rounds follow each other, over one connection.
    inferences: that it makes between two rounds.
    """
    work = costs.training_seconds(rollout.samples, rollout.recipe.epochs) or 0.0
    connections = rollout.taken if interval else 1
    announced = rollout.taken if interval else rollout.rounds + 2  # waiting, finished
    legs = [
        _leg(costs, _session(rollout, 0), 1),
        _leg(costs, _session(rollout, rollout.rounds // 2 + 1), connections - 1),
        _leg(costs, Messages((), (_announce(rollout),)), announced),
        _leg(costs, _first(rollout), 1, work),
        *(_leg(costs, _later(rollout, size), 1, work) for size in rollout.differences),
    ]
    taking = legs[3:]  # a round each; the first one pulls the base file
    usual = taking[len(taking) // 2]
    wait = _wait(rollout, costs, usual)
    length = max(interval, usual.seconds + (costs.radio.connect_seconds if interval else 0), wait)
    days = rollout.rounds * length / DAY
    energy = Energy(connecting=connections * costs.radio.connect_joules)
    for leg in legs:
        energy.add(leg.energy)
    energy.training = rollout.taken * costs.training_joules(rollout.samples, rollout.recipe.epochs)
    energy.sleep = costs.sleep_joules(days * DAY) if interval else 0.0
    return Plan(
        sum(leg.times * sum(leg.messages.up) for leg in legs),
        sum(leg.times * sum(leg.messages.down) for leg in legs),
        sum(usual.messages.up),
        sum(usual.messages.down),
        energy,
        costs.inference_joules(inferences * rollout.rounds),
        usual.seconds,
        days,
        max(0.0, wait - usual.seconds),
    )


def _leg(costs: Costs, messages: Messages, times: int, work: float = 0.0) -> Leg:
    radio = costs.radio
    ways: tuple[tuple[Way, tuple[int, ...]], ...] = (
        (radio.up, messages.up),
        (radio.down, messages.down),
    )
    joules = [times * sum(radio.joules(way, size) for size in sizes) for way, sizes in ways]
    seconds = sum(
        radio.seconds(way, size) + radio.answers(way, size) for way, sizes in ways for size in sizes
    )
    return Leg(messages, times, Energy(up=joules[0], down=joules[1]), seconds + work)


def _wait(rollout: Rollout, costs: Costs, usual: Leg) -> float:
    """Seconds that a round takes at least, for the shares of time that may be sent."""
    radio, sizes = costs.radio, usual.messages
    sends = sum(radio.seconds(radio.up, n) for n in sizes.up)
    sends += sum(radio.answers(radio.down, n) for n in sizes.down)
    hears = sum(radio.seconds(radio.down, n) for n in sizes.down)
    own = sends / radio.duty if radio.duty < 1 else 0.0
    return max(own, rollout.cohort * hears / radio.shared if radio.shared < 1 else 0.0)


# The messages, each with fields of the size that most have.


def _sizes(*messages: Message) -> tuple[int, ...]:
    return tuple(len(encode(message)) for message in messages)


def _session(r: Rollout, version: int) -> Messages:
    """Birth, greeting and farewell of a device that holds this version, or at first nothing."""
    hello = Hello(1, PROTOCOL, r.block, r.samples, r.board.name, gateway=r.gateway)
    if version:
        hello = replace(hello, base=bytes(32), version=version, check=LARGE)
    return Messages(_sizes(Presence(1, Status.ONLINE), hello, Presence(1, Status.SLEEPING)), ())


def _announce(r: Rollout) -> int:
    return _sizes(Announce(1, Phase.TRAINING, r.rounds // 2 + 1, r.rounds // 2, bytes(32)))[0]


def _first(r: Rollout) -> Messages:
    """A device without a model pulls the base file; who joins late needs a difference too."""
    needed = [Manifest(Kind.BASE, r.base, bytes(32))]
    if r.catch_up:
        needed.append(Manifest(Kind.DIFFERENCE, r.catch_up, bytes(32), 0, 1))
    return _round(r, 0, tuple(needed))


def _later(r: Rollout, size: int) -> Messages:
    number = r.rounds // 2 + 1
    manifest = Manifest(Kind.DIFFERENCE, max(1, size), bytes(32), number - 1, number)
    return _round(r, number, (manifest,))


def _round(r: Rollout, version: int, objects: tuple[Manifest, ...]) -> Messages:
    """Task, Offer and Verdict; objects that are too long to be inside are pulled in blocks."""
    check = LARGE if version else 0
    total = sum(manifest.size for manifest in objects)
    ride = total <= r.block - TASK_ROOM
    task = Task(
        *(version + 1, version, bytes(32), r.recipe, r.codec, LARGE, r.deadline, objects),
        check=check,
        budget=r.budget,
        data=bytes(total) if ride else b"",
    )
    data = bytes(r.update)
    inline = len(data) <= r.block
    offer = Offer(
        round=version + 1,
        nonce=bytes(NONCE_BYTES),
        version=version,
        codec=r.codec,
        samples=r.samples,
        loss_before=1.0,
        loss_after=1.0,
        manifest=manifest_of(Kind.UPDATE, data),
        data=data if inline else b"",
        check=check,
        trains=r.recipe.trains,
    )
    verdict = Verdict(version + 1, bytes(NONCE_BYTES), Reason.ACCEPTED)
    said = Messages(_sizes(offer), _sizes(task, verdict))
    for manifest in () if ride else objects:
        said += _pulled(r, manifest)
    if inline:
        return said
    pulled = _pulled(r, offer.manifest)
    return said + Messages(pulled.down, pulled.up)  # the other way about


def _pulled(r: Rollout, manifest: Manifest) -> Messages:
    """The blocks of an object, and what asks for them, window by window."""
    blocks = count(manifest.size, r.block)
    data = bytes(manifest.size)
    needs = [
        Need(manifest.id, r.block, first, b"\xff" * count(min(WINDOW, blocks - first), 8))
        for first in range(0, blocks, WINDOW)
    ]
    sent = [
        replace(block_of(data, manifest.id, index, r.block), crc=LARGE) for index in range(blocks)
    ]
    return Messages(_sizes(*needs), _sizes(*sent))
