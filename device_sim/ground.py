"""What the devices of one process share, and what they tell whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from mqtt_client.endpoint import Endpoint
from wire.topics import Topics

What = Literal["connected", "vanished", "accepted", "refused", "left"]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth showing to whoever watches the fleet."""

    device: str
    what: What
    round: int = 0  # of what was accepted or refused


@dataclass(frozen=True, slots=True)
class Ground:
    """What all devices of a process stand on."""

    endpoint: Endpoint
    topics: Topics
    executor: Executor  # does one device's training after the other's
    on_event: Callable[[Happening], None]
    reached: asyncio.Event  # the broker has taken somebody: who is refused tries again
