"""What the devices of one process share, and what they tell whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from device_sim.vault import Vault
from device_sim.workshop import Workshop
from mqtt_client.client import Broker
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

    broker: Broker
    topics: Topics
    workshop: Workshop
    on_event: Callable[[Happening], None]
    vault: Vault | None  # None: what devices keep ends with the process
    reached: asyncio.Event  # the broker has taken somebody: who is refused tries again
