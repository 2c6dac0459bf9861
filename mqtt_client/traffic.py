"""Counting what crosses the broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """Application messages and their payload bytes, as mosquitto's $SYS/broker/publish counts them.

    `out` is towards the broker; a message sent again after a reconnect counts again.
    """

    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        """Sum the traffic of two connections: `sum(each, Traffic())` sums a fleet's."""
        return Traffic(
            self.messages_in + other.messages_in,
            self.messages_out + other.messages_out,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
        )
