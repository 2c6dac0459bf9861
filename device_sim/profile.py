"""What kind of device it is, and what will befall it: all drawn from (seed, device)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from device_sim.settings import FleetSettings

# Orders of magnitude for a battery sensor with an ESP32 on a 1,000 mAh lithium cell, not
# measurements: 0.7 W of radio at 350 kB/s, and 0.2 W of core for 10 ms a training sample.
CAPACITY = 13_000.0  # joules of a full battery
JOULES_PER_BYTE = 2e-6
JOULES_PER_SAMPLE = 2e-3  # one sample, forward and backward, once
LOW = 0.1  # share of the capacity below which a device will not train


class Moment(Enum):
    """Where in a round a device vanishes."""

    DOWNLOAD = "download"
    TRAIN = "train"
    BEFORE_OFFER = "before offer"
    AFTER_OFFER = "after offer"


@dataclass(frozen=True, slots=True)
class Profile:
    """One device's hardware and luck."""

    board: str
    up: float  # bytes a second; 0 is unlimited
    down: float
    loss: float  # chance that a message is lost, each way
    dropout: float  # chance, each round, to vanish
    away: float  # seconds
    battery: float  # charge at the start, 0 to 1


def rng_of(seed: int, device: str) -> random.Random:
    """The device's own source of chance: its draws depend on no other device."""
    return random.Random(f"{seed} {device}")  # noqa: S311 - a simulation, not a secret


def profile_of(settings: FleetSettings, rng: random.Random) -> Profile:
    """Draw a device: its link is 0.5 to 1.5 times as fast as the fleet's mean, each way."""
    return Profile(
        board=settings.board,
        up=settings.rate * rng.uniform(0.5, 1.5),
        down=settings.rate * rng.uniform(0.5, 1.5),
        loss=settings.loss,
        dropout=settings.dropout,
        away=settings.away,
        battery=settings.battery,
    )


def fate_of_round(profile: Profile, rng: random.Random) -> Moment | None:
    """Where in the coming round the device vanishes; None: it does not."""
    # Two draws whatever comes of the first, so that a rate changes no other draw.
    strikes, moment = rng.random() < profile.dropout, rng.choice(tuple(Moment))
    return moment if strikes else None


class Battery:
    """Counts the energy that a device spends; nobody charges it."""

    def __init__(self, charge: float) -> None:
        self._joules = charge * CAPACITY

    @property
    def low(self) -> bool:
        """True when there is too little left to train."""
        return self._joules < LOW * CAPACITY

    def radio(self, size: int) -> None:
        """Spend what sending or receiving `size` bytes takes."""
        self._joules -= size * JOULES_PER_BYTE

    def training(self, samples: int) -> None:
        """Spend what training on `samples` samples takes, every epoch counted."""
        self._joules -= samples * JOULES_PER_SAMPLE
