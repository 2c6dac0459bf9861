"""Reading the aggregator's messages: what many devices are sent is decoded once.

A cohort is sent equal tasks, needs and blocks, and every line the same announcements; messages
never change.  All devices of a process remember the last short ones together.
"""

from __future__ import annotations

from functools import lru_cache

from wire.cbor import decode
from wire.messages import Message

SHORT = 64 * 1024  # bytes: a task that brings a model is
_known = lru_cache(maxsize=64)(decode)


def read(payload: bytes) -> Message:
    """The message that a payload is.  Raises WireError."""
    return _known(payload) if len(payload) <= SHORT else decode(payload)
