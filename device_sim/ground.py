"""What the devices of one process share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from device_sim.energy import Costs
from device_sim.vault import Vault
from device_sim.workshop import Workshop
from mqtt_client.client import Broker
from wire.topics import Topics


@dataclass(frozen=True, slots=True)
class Ground:
    """What all devices of a process stand on."""

    broker: Broker
    topics: Topics
    workshop: Workshop
    costs: Costs
    vault: Vault | None  # None: what devices keep ends with the process
    reached: asyncio.Event  # the broker has taken somebody: who is refused tries again
