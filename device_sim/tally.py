"""What a fleet counted: each device for itself, to be held against the aggregator's books."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from device_sim.energy import Energy, Work


@dataclass(slots=True)
class DeviceTally:
    """One device's counts, over all its sessions."""

    accepted: list[tuple[int, str]] = field(default_factory=list)  # (round, nonce as hex)
    # Offered, and no verdict came until the device left: the aggregator may have taken them.
    unanswered: list[tuple[int, str]] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)  # by Reason, accepted ones too
    refused: Counter[str] = field(default_factory=Counter)  # what came in and was of no use
    errors: Counter[str] = field(default_factory=Counter)  # by type of exception; the log has more
    sessions: int = 0
    dropouts: int = 0  # times it vanished because its profile said so
    messages_up: int = 0  # MQTT payloads, and their bytes
    messages_down: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    energy: Energy = field(default_factory=Energy)

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON knows them."""
        return {
            "accepted": self.accepted,
            "unanswered": self.unanswered,
            "verdicts": dict(self.verdicts),
            "refused": dict(self.refused),
            "errors": dict(self.errors),
            "sessions": self.sessions,
            "reconnects": max(self.sessions - 1, 0),
            "dropouts": self.dropouts,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "messages_up": self.messages_up,
            "messages_down": self.messages_down,
            "joules": self.energy.as_json(),
        }


@dataclass(frozen=True, slots=True)
class FleetTally:
    """The counts of all devices of one process."""

    devices: Mapping[str, DeviceTally]
    work: Work | None = None  # what the energy of training was counted by

    @property
    def energy(self) -> Energy:
        """Joules of all devices."""
        energy = Energy()
        for device in self.devices.values():
            energy.add(device.energy)
        return energy

    @property
    def accepted(self) -> int:
        """Updates that the aggregator said it took."""
        return sum(len(device.accepted) for device in self.devices.values())

    @property
    def bytes_up(self) -> int:
        """Payload bytes sent."""
        return sum(device.bytes_up for device in self.devices.values())

    @property
    def bytes_down(self) -> int:
        """Payload bytes received."""
        return sum(device.bytes_down for device in self.devices.values())

    def as_json(self) -> dict[str, Any]:
        """Sums, and every device's own counts."""
        return {
            "accepted": self.accepted,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "dropouts": sum(device.dropouts for device in self.devices.values()),
            "joules": self.energy.as_json(),
            "instructions": None if self.work is None else asdict(self.work),
            "devices": {name: device.as_json() for name, device in self.devices.items()},
        }

    def write(self, path: Path) -> None:
        """Write as JSON: the whole file or nothing."""
        draft = path.with_name(path.name + ".part")
        draft.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
