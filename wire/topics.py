"""Topic names.  A device writes only below its own id, so one ACL pattern each way is enough."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "microfed/v1"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_WRITTEN = re.compile(
    f"{PREFIX}/({_NAME.pattern})/(?:d/({_NAME.pattern})/(state|up)|g/({_NAME.pattern})/state)"
)


def check_name(what: str, name: str) -> str:
    """Return `name` if it may stand as one topic level, else raise ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} {name!r}: 1 to 32 letters, digits, '-' or '_' are allowed")
    return name


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one fleet."""

    fleet: str

    def __post_init__(self) -> None:
        check_name("fleet", self.fleet)

    @property
    def announce(self) -> str:
        """Aggregator → all, retained: Announce."""
        return f"{PREFIX}/{self.fleet}/a/round"

    @property
    def aggregator_state(self) -> str:
        """Aggregator → all, retained and last will: Presence."""
        return f"{PREFIX}/{self.fleet}/a/state"

    def state(self, device: str) -> str:
        """Device → all, retained and last will: Presence."""
        return f"{PREFIX}/{self.fleet}/d/{device}/state"

    def up(self, device: str) -> str:
        """Device → aggregator: Hello, Need, Block, Offer, Decline."""
        return f"{PREFIX}/{self.fleet}/d/{device}/up"

    def down(self, device: str) -> str:
        """Aggregator → device: Task, Need, Block, Verdict."""
        return f"{PREFIX}/{self.fleet}/d/{device}/down"

    def gateway_state(self, gateway: str) -> str:
        """Gateway → all, retained and last will: Presence."""
        return f"{PREFIX}/{self.fleet}/g/{gateway}/state"

    @property
    def from_devices(self) -> tuple[str, str, str]:
        """The aggregator's subscriptions."""
        return self.state("+"), self.up("+"), self.gateway_state("+")

    def sender(self, topic: str) -> tuple[str, str] | None:
        """(device, "state" or "up") of a topic that a device writes, else None.

        Of a gateway's state it is (gateway, "gateway").
        """
        written = _WRITTEN.fullmatch(topic)
        if written is None:
            return None
        fleet, device, channel, gateway = written.groups()
        if fleet != self.fleet:
            return None
        return (device, channel) if device else (gateway, "gateway")
