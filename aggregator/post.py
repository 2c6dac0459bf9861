"""What goes out: encoded, counted, and never before what it tells of is on disk."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Protocol

from aggregator.schema import Totals
from aggregator.store import Store
from wire.cbor import encode
from wire.messages import Announce, Need, Presence, Task, Verdict
from wire.topics import Topics

SETTLE = 64  # announcements between two times that they are counted for each device


class Publish(Protocol):
    """Hands a payload to the broker, QoS 1."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Whether it was taken.  Without a connection it is not: after one, all say hello."""


class Post:
    """The way out.

    While the store holds something uncommitted, messages wait for `flush`.
    Bytes are counted as the devices see them: a message to one device once,
    the announcement once for every device that is online or comes online.
    The counts are on disk with whatever is committed, and at the end; a device's
    announcements when it goes, and from time to time: of those a kill may cost
    it SETTLE, some fifty bytes each.
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
        self._up, self._down = totals.bytes_up, totals.bytes_down
        self._uncounted: dict[str, list[int]] = {}  # by device, up and down: not in the store yet
        self._waiting: list[tuple[str, bytes]] = []  # (device, payload)
        self._announced = b""
        self._announcements = 0
        self._announced_bytes = 0  # of all announcements
        self._online: dict[str, int] = {}  # device → _announced_bytes when last counted

    @property
    def totals(self) -> Totals:
        """Payload bytes both ways until now."""
        return Totals(self._up, self._down)

    @property
    def waiting(self) -> bool:
        """True while something must be committed or sent by `flush`."""
        return bool(self._waiting) or self._store.dirty

    def received(self, payload: bytes) -> None:
        """Count what came in, whoever sent it."""
        self._up += len(payload)

    def came_from(self, device: str, payload: bytes) -> None:
        """Count what a device sent, once it is clear whether it is known."""
        self._count(device, up=len(payload))

    def send(self, device: str, message: Task | Need | Verdict) -> None:
        """Send to one device."""
        self.send_payload(device, encode(message))

    def send_payload(self, device: str, payload: bytes) -> None:
        """Send to one device what is encoded already."""
        self._waiting.append((device, payload))
        if not self._store.dirty:
            self._send_waiting()

    def announce(self, message: Announce) -> None:
        """Tell all, after whatever waits."""
        self.flush()
        self._announced = encode(message)
        self._announcements += 1
        self._announced_bytes += len(self._announced)
        self._down += len(self._announced) * len(self._online)
        if self._announcements % SETTLE == 0:
            self._settle()
        self._publish(self._topics.announce, self._announced, retain=True)

    def came_online(self, device: str) -> None:
        """Count the retained announcement that a device gets when it subscribes."""
        self.went(device)
        self._online[device] = self._announced_bytes
        self._sent(device, self._announced)

    def went(self, device: str) -> None:
        """A device is gone: announcements do not reach it any more."""
        since = self._online.pop(device, None)
        if since is not None:
            self._count(device, down=self._announced_bytes - since)

    def all_gone(self) -> None:
        """All devices are."""
        self._settle()
        self._online.clear()

    def presence(self, presence: Presence) -> None:
        """Say that the aggregator is there, or leaves.  Devices do not listen to it."""
        self._publish(self._topics.aggregator_state, encode(presence), retain=True)

    def flush(self) -> None:
        """Commit, then send what waited."""
        if self._store.dirty:
            self._write_counts()
        self._store.commit()
        self._send_waiting()

    def take_back(self) -> None:
        """Forget what is not committed, and what was to tell of it."""
        self._store.rollback()
        self._waiting.clear()

    def close(self) -> None:
        """Commit the counts of what came and went after everything else."""
        self._settle()
        self._write_counts()
        self._store.commit()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for device, payload in waiting:
            if self._publish(self._topics.down(device), payload, retain=False):
                self._sent(device, payload)

    def _sent(self, device: str, payload: bytes) -> None:
        self._down += len(payload)
        self._count(device, down=len(payload))

    def _count(self, device: str, up: int = 0, down: int = 0) -> None:
        counts = self._uncounted.get(device)
        if counts is None:
            if device not in self._known:
                return
            counts = self._uncounted[device] = [0, 0]
        counts[0] += up
        counts[1] += down

    def _settle(self) -> None:
        """Count the announcements that reached each device since they were last counted."""
        for device, since in self._online.items():
            self._count(device, down=self._announced_bytes - since)
        self._online = dict.fromkeys(self._online, self._announced_bytes)

    def _write_counts(self) -> None:
        self._store.count(self.totals, self._uncounted)
        self._uncounted = {}
