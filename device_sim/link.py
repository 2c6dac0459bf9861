"""A simulated radio link between a device and the broker: slow, and it loses messages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Self


class Link:
    """One direction of one device's link; messages keep their order.

    A message takes size/rate seconds, and the next waits for it; nobody else
    does.  Losing happens above MQTT, which itself loses nothing: it stands
    for a receiver that was deaf or had no buffer.

    Args:
        loop: whose clock the delays run on.
        rate: bytes a second; 0 is unlimited.
        loss: chance that a message is lost, 0 to 1.
        rng: draws what is lost.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rate: float, loss: float, rng: random.Random
    ) -> None:
        self._loop = loop
        self._rate = rate
        self._loss = loss
        self._rng = rng
        self._free_at = 0.0
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._count = 0

    @classmethod
    def of(
        cls, loop: asyncio.AbstractEventLoop, rate: float, loss: float, rng: random.Random
    ) -> Self | None:
        """A link, or None for one that neither delays nor loses."""
        return cls(loop, rate, loss, rng) if rate or loss else None

    def carry(self, size: int, deliver: Callable[[], None], *, sure: bool = False) -> None:
        """Call `deliver` when `size` bytes have crossed, or never.

        `sure` is for what the broker keeps (retained messages): it is late, but not lost.
        """
        lost = self._rng.random() < self._loss and not sure
        if not self._rate:
            if not lost:
                deliver()
            return
        self._free_at = max(self._free_at, self._loop.time()) + size / self._rate
        if lost:
            return
        self._count += 1
        name = self._count
        self._waiting[name] = self._loop.call_at(self._free_at, self._arrive, name, deliver)

    def cut(self) -> None:
        """Forget what is under way: the connection has gone."""
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()
        self._free_at = 0.0

    def _arrive(self, name: int, deliver: Callable[[], None]) -> None:
        del self._waiting[name]
        deliver()
