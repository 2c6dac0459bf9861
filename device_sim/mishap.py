"""When a device vanishes: once in a round at most, at a moment that chance chose."""

from __future__ import annotations

import random

from device_sim.profile import Moment, Profile, fate_of_round
from device_sim.state import WINDOW, Job
from wire.messages import Message, Need, Offer

SOON = 0.02  # seconds at most between a message that was sent and the end of its sender


class Mishap:
    """Draws each round's fate and says when it strikes.

    Args:
        profile: how likely it is.
        rng: the device's own.
    """

    def __init__(self, profile: Profile, rng: random.Random) -> None:
        self._profile = profile
        self._rng = rng
        self._round = 0
        self._fate: Moment | None = None
        self._windows = 0  # to ask for before it strikes a download

    def look(self, job: Job | None) -> None:
        """Draw the fate of the job's round, when the round is new."""
        if job is None or job.task.round <= self._round:
            return
        self._round = job.task.round
        self._fate = fate_of_round(self._profile, self._rng)
        longest = max((manifest.size for manifest in job.task.objects), default=0)
        blocks = -(-longest // 1024)
        self._windows = self._rng.randrange(1 + blocks // WINDOW)

    def before(self, message: Message) -> bool:
        """True when it strikes before `message` is sent."""
        return isinstance(message, Offer) and self._comes(Moment.BEFORE_OFFER)

    def after(self, message: Message) -> float | None:
        """Seconds after which it strikes, `message` having been sent; None: it does not."""
        if isinstance(message, Need):
            self._windows -= 1
            struck = self._windows < 0 and self._comes(Moment.DOWNLOAD)
        else:
            struck = isinstance(message, Offer) and self._comes(Moment.AFTER_OFFER)
        return self._rng.uniform(0, SOON) if struck else None

    def training(self) -> float | None:
        """Seconds after which it strikes, training having begun; None: it does not."""
        # A round that needs no download, or a shorter one than was thought, is struck here.
        struck = self._comes(Moment.TRAIN) or self._comes(Moment.DOWNLOAD)
        return self._rng.uniform(0, SOON) if struck else None

    def _comes(self, moment: Moment) -> bool:
        if self._fate is not moment:
            return False
        self._fate = None
        return True
