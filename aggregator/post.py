"""What goes out: encoded, counted, and never before what it tells of is on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aggregator.schema import Totals
from aggregator.store import Store
from wire.cbor import encode
from wire.messages import Announce, Block, Need, Presence, Task, Verdict
from wire.topics import Topics


class Publish(Protocol):
    """Hands a payload to the broker, QoS 1."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Whether it was taken.  Without a connection it is not: after one, all say hello."""


class Post:
    """The way out.

    While the store holds something uncommitted, messages wait for `flush`.
    Bytes are counted as the devices see them: a message to one device once,
    the announcement once for every device that is online or comes online.
    """

    def __init__(
        self,
        topics: Topics,
        store: Store,
        publish: Publish,
        crowded: Callable[[], bool],
        totals: Totals,
    ) -> None:
        self._topics = topics
        self._store = store
        self._publish = publish
        self.crowded = crowded  # whether blocks should wait until they are asked for again
        self._up = totals.bytes_up
        self._down = totals.bytes_down
        self._waiting: list[tuple[str, bytes]] = []
        self._announced = b""

    @property
    def totals(self) -> Totals:
        """Payload bytes both ways until now."""
        return Totals(self._up, self._down)

    @property
    def waiting(self) -> bool:
        """True while something must be committed or sent by `flush`."""
        return bool(self._waiting) or self._store.dirty

    def received(self, payload: bytes) -> None:
        """Count what came in."""
        self._up += len(payload)

    def send(self, device: str, message: Task | Need | Block | Verdict) -> None:
        """Send to one device."""
        self._waiting.append((self._topics.down(device), encode(message)))
        if not self._store.dirty:
            self._send_waiting()

    def announce(self, message: Announce, online: int) -> None:
        """Tell all, after whatever waits."""
        self.flush()
        self._announced = encode(message)
        self._down += online * len(self._announced)
        self._publish(self._topics.announce, self._announced, retain=True)

    def came_online(self) -> None:
        """Count the retained announcement that a device gets when it subscribes."""
        self._down += len(self._announced)

    def presence(self, presence: Presence) -> None:
        """Say that the aggregator is there, or leaves.  Devices do not listen to it."""
        self._publish(self._topics.aggregator_state, encode(presence), retain=True)

    def flush(self) -> None:
        """Commit, then send what waited."""
        self._store.commit(self.totals)
        self._send_waiting()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for topic, payload in waiting:
            if self._publish(topic, payload, retain=False):
                self._down += len(payload)
