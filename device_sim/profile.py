"""What kind of device it is, and what will befall it: all drawn from (seed, device)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from device_sim.energy import Costs
from device_sim.settings import FleetSettings


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


def profile_of(settings: FleetSettings, costs: Costs, rng: random.Random) -> Profile:
    """Draw a device: its link is 0.5 to 1.5 times as fast as the fleet's mean, each way.

    The mean is `rate`, and where that is 0 what the kind of link allows, if that counts.
    """
    return Profile(
        board=settings.board,
        up=(settings.rate or costs.rate(costs.radio.up)) * rng.uniform(0.5, 1.5),
        down=(settings.rate or costs.rate(costs.radio.down)) * rng.uniform(0.5, 1.5),
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
