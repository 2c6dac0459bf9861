"""What goes out: encoded, counted, and never before what it tells of is on disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
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
    The counts are on disk with whatever is committed, and at the end.
    """

    def __init__(
        self,
        topics: Topics,
        store: Store,
        known: Container[str],
        publish: Publish,
        crowded: Callable[[], bool],
        totals: Totals,
    ) -> None:
        self._topics = topics
        self._store = store
        self._known = known  # devices; strangers would fill the books with invented names
        self._publish = publish
        self.crowded = crowded  # whether blocks should wait until they are asked for again
        self.totals = totals  # payload bytes both ways until now
        self._uncounted: dict[str, Totals] = {}  # by device: not in the store yet
        self._waiting: list[tuple[str, bytes]] = []  # (device, payload)
        self._announced = b""

    @property
    def waiting(self) -> bool:
        """True while something must be committed or sent by `flush`."""
        return bool(self._waiting) or self._store.dirty

    def received(self, payload: bytes) -> None:
        """Count what came in, whoever sent it."""
        self.totals += Totals(bytes_up=len(payload))

    def came_from(self, device: str, payload: bytes) -> None:
        """Count what a device sent, once it is clear whether it is known."""
        self._count(device, Totals(bytes_up=len(payload)))

    def send(self, device: str, message: Task | Need | Block | Verdict) -> None:
        """Send to one device."""
        self._waiting.append((device, encode(message)))
        if not self._store.dirty:
            self._send_waiting()

    def announce(self, message: Announce, online: Collection[str]) -> None:
        """Tell all, after whatever waits."""
        self.flush()
        self._announced = encode(message)
        for device in online:
            self.came_online(device)
        self._publish(self._topics.announce, self._announced, retain=True)

    def came_online(self, device: str) -> None:
        """Count the retained announcement that a device gets when it subscribes."""
        self._sent(device, self._announced)

    def presence(self, presence: Presence) -> None:
        """Say that the aggregator is there, or leaves.  Devices do not listen to it."""
        self._publish(self._topics.aggregator_state, encode(presence), retain=True)

    def flush(self) -> None:
        """Commit, then send what waited."""
        if self._store.dirty:
            self._write_counts()
        self._store.commit()
        self._send_waiting()

    def close(self) -> None:
        """Commit the counts of what came and went after everything else."""
        self._write_counts()
        self._store.commit()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for device, payload in waiting:
            if self._publish(self._topics.down(device), payload, retain=False):
                self._sent(device, payload)

    def _sent(self, device: str, payload: bytes) -> None:
        traffic = Totals(bytes_down=len(payload))
        self.totals += traffic
        self._count(device, traffic)

    def _count(self, device: str, traffic: Totals) -> None:
        if device in self._known:
            self._uncounted[device] = self._uncounted.get(device, Totals()) + traffic

    def _write_counts(self) -> None:
        self._store.count(self.totals, self._uncounted)
        self._uncounted = {}
