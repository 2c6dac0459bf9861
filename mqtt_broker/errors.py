"""What goes wrong with a broker of our own."""

from __future__ import annotations


class BrokerError(Exception):
    """A broker could not be started, or cannot do what was asked; the text says why."""


class PortTaken(BrokerError):  # noqa: N818 - says what happened
    """Somebody else listens there."""
