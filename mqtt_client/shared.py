"""What keeps thousands of connections on one loop cheap: one clock, one gate, spread returns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Protocol

TICK = 1.0  # seconds between looks at the keep-alives
# Brokers listen with a backlog of about 100; a connection that overflows it waits a
# second for TCP to try again, so a thousand at once would be slower than 64 at a time.
OPENING = 64
FIRST_DELAY = 0.5  # seconds before the first try to come back; doubles
LAST_DELAY = 30.0


class Ticking(Protocol):
    """Something that wants to be woken about once a second."""

    def tick(self) -> None:
        """Look at the clock."""


class Shared:
    """One per event loop; `of_this_loop` finds it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gate = asyncio.Semaphore(OPENING)
        self._loop = loop
        self._members: dict[Ticking, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Ticking) -> None:
        """Wake `member` from now on."""
        self._members[member] = None
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._tick)

    def discard(self, member: Ticking) -> None:
        """Wake `member` no longer."""
        self._members.pop(member, None)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick) if self._members else None
        for member in tuple(self._members):
            member.tick()


_SHARED: dict[asyncio.AbstractEventLoop, Shared] = {}


def of_this_loop() -> Shared:
    """The Shared of the running loop, made on first use."""
    loop = asyncio.get_running_loop()
    shared = _SHARED.get(loop)
    if shared is None:
        for old in [known for known in _SHARED if known.is_closed()]:
            del _SHARED[old]
        shared = _SHARED[loop] = Shared(loop)
    return shared


def back_off(rng: random.Random) -> Iterator[float]:
    """Seconds to wait before each try: doubling, spread so that a fleet comes not at once."""
    delay = FIRST_DELAY
    while True:
        yield delay * rng.uniform(0.5, 1.0)
        delay = min(2 * delay, LAST_DELAY)
