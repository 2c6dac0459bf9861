"""What can be wrong with bytes from elsewhere: each error says where, what, and what is allowed."""

from __future__ import annotations


class WireError(ValueError):
    """A payload, a field or a block that this protocol does not allow.

    `where` names the message and field ("Offer.samples"), `found` the value,
    `allowed` the rule it breaks.
    """

    def __init__(self, where: str, found: str, allowed: str) -> None:
        super().__init__(f"{where}: found {found}, allowed {allowed}")
        self.where = where
        self.found = found
        self.allowed = allowed


class CorruptObject(WireError):  # noqa: N818 - it names what arrived
    """A block or an object whose checksum is not the one it was announced with."""


class CodecError(WireError):
    """An object's bytes that do not decode to what they claim to be."""
