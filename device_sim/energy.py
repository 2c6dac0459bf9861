"""What a device's work costs: instructions, seconds and joules, from docs/boards.md's figures."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Self

from device_sim.radio import RADIOS, Radio, Way
from device_sim.settings import FleetSettings
from tflite_models.boards import Board, board_named

CELL = 3.7  # volts of a lithium cell, at which a capacity in mAh is told
LOW = 0.1  # share of the capacity below which a device will not train


@dataclass(frozen=True, slots=True)
class Work:
    """Instructions that a Cortex-M4F executes for one model and recipe."""

    training: float  # one sample, forward and backward, once
    evaluation: float  # one sample, for the losses before and after
    inference: float  # one, by the compiled int8 model
    measured: bool  # in QEMU; else by the fit of device_sim.work

    def round(self, samples: int, epochs: int) -> float:
        """A whole local training."""
        return samples * (epochs * self.training + self.evaluation)


@dataclass(slots=True)
class Energy:
    """Joules that a device has spent.  What is not known counts as nothing: see `Costs.lacking`."""

    training: float = 0.0
    up: float = 0.0  # sending, with the answers to it
    down: float = 0.0
    connecting: float = 0.0
    sleep: float = 0.0

    @property
    def total(self) -> float:
        """All together."""
        return self.training + self.up + self.down + self.connecting + self.sleep

    def add(self, other: Energy) -> None:
        """Count another's joules in."""
        for name, joules in asdict(other).items():
            setattr(self, name, getattr(self, name) + joules)

    def as_json(self, lacking: Container[str] = ()) -> dict[str, float | None]:
        """Joules by what they were spent on, and their sum; None for what is `lacking`.

        Without the training there is no sum; without the sleep, which is little, there is.
        """
        known = {**asdict(self), "total": self.total}
        if "training" in lacking:
            known["total"] = None
        return {name: None if name in lacking else joules for name, joules in known.items()}


@dataclass(frozen=True)
class Costs:
    """A board, its link and its work: what everything that a device does costs."""

    board: Board
    radio: Radio
    work: Work | None  # None: no model was named
    capacity: float  # joules of a full battery
    in_time: bool = False  # whether the simulation waits as long as the device would work

    @classmethod
    def of(cls, settings: FleetSettings, work: Work | None) -> Self:
        """What everything costs on a fleet's board and link."""
        return cls(
            board_named(settings.board),
            RADIOS[settings.link],
            work,
            settings.capacity * 3.6 * CELL,
            in_time=settings.clock == "device",
        )

    @cached_property
    def lacking(self) -> Mapping[str, str]:
        """What of Energy cannot be estimated: its name, and why."""
        board = self.board
        found: dict[str, str] = {}
        if self.work is None:
            found["training"] = "no model is known"
        elif self.training_seconds(1, 1) is None:
            found["training"] = f"nothing measured stands for a {board.core}"
        elif board.watts is None:
            found["training"] = f"what {board.name} draws has no source"
        if board.sleep_watts is None:
            found["sleep"] = f"what {board.name} draws has no source"
        return found

    def training_seconds(self, samples: int, epochs: int) -> float | None:
        """How long a local training takes; None: not known."""
        return None if self.work is None else self.board.seconds(self.work.round(samples, epochs))

    def training_joules(self, samples: int, epochs: int) -> float:
        """What a local training takes."""
        return (self.training_seconds(samples, epochs) or 0.0) * (self.board.watts or 0.0)

    def inference_joules(self, count: float) -> float:
        """What so many inferences take."""
        seconds = None if self.work is None else self.board.seconds(self.work.inference)
        return count * (seconds or 0.0) * (self.board.watts or 0.0)

    def sleep_joules(self, seconds: float) -> float:
        """What so long a sleep takes."""
        return seconds * (self.board.sleep_watts or 0.0)

    def pause(self, samples: int, epochs: int) -> float:
        """Seconds that the simulation waits for a training; 0: it takes what it takes here."""
        return self.training_seconds(samples, epochs) or 0.0 if self.in_time else 0.0

    def rate(self, way: Way) -> float:
        """Bytes a second of the link, as the simulation has it; 0 is unlimited."""
        return self.radio.payload_rate(way) if self.in_time else 0.0

    @cached_property
    def up(self) -> Price:
        """Of what a device sends."""
        return Price.of(self.radio, self.radio.up)

    @cached_property
    def down(self) -> Price:
        """Of what it receives."""
        return Price.of(self.radio, self.radio.down)


@dataclass(frozen=True, slots=True)
class Price:
    """`Radio.joules` of one direction, as two products."""

    byte: float
    frame: float
    most: int  # bytes in a frame; 0: any

    @classmethod
    def of(cls, radio: Radio, way: Way) -> Price:
        """The price of one direction of a link."""
        nothing = radio.joules(way, 0)
        return cls(radio.joules(way, 1) - nothing, nothing, radio.frame)

    def joules(self, size: int, messages: int = 1) -> float:
        """Of messages of `size` bytes in all, each about as large as the others."""
        frames = messages
        if self.most and size > self.most * messages:
            frames = messages * -(-size // (messages * self.most))
        return size * self.byte + frames * self.frame


class Meter:
    """Counts the energy that one device spends; nobody charges its battery."""

    __slots__ = ("_costs", "_energy", "_left", "_since")

    def __init__(self, costs: Costs, charge: float, energy: Energy) -> None:
        """`charge` is a share of the capacity; `energy` is what is counted into."""
        self._costs = costs
        self._left = (charge - LOW) * costs.capacity  # joules until the battery is low
        self._energy = energy
        self._since: float | None = None

    @property
    def low(self) -> bool:
        """True when there is too little left to train."""
        return self._left < 0

    def connected(self) -> None:
        """A connection was made."""
        joules = self._costs.radio.connect_joules
        self._energy.connecting += joules
        self._left -= joules

    def sent(self, size: int) -> None:
        """A message of `size` bytes was sent."""
        joules = self._costs.up.joules(size)
        self._energy.up += joules
        self._left -= joules

    def received(self, size: int, messages: int = 1) -> None:
        """Messages of `size` bytes together were received."""
        joules = self._costs.down.joules(size, messages)
        self._energy.down += joules
        self._left -= joules

    def trained(self, samples: int, epochs: int) -> None:
        """A local training was done."""
        joules = self._costs.training_joules(samples, epochs)
        self._energy.training += joules
        self._left -= joules

    def passed(self, now: float) -> None:
        """Time has passed, on any clock: all of it counts as sleep, which is little beside work."""
        if self._since is not None:
            joules = self._costs.sleep_joules(now - self._since)
            self._energy.sleep += joules
            self._left -= joules
        self._since = now
