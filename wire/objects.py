"""The objects that travel in blocks: how each is announced."""

from __future__ import annotations

from wire.digest import digest_of
from wire.messages import Kind, Manifest


def manifest_of(kind: Kind, data: bytes, source: int = 0, target: int = 0) -> Manifest:
    """The announcement of the object `data`; a DIFFERENCE names its two versions."""
    return Manifest(kind, len(data), digest_of(data), source, target)
