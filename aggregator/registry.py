"""Who is there: the devices that said hello, bounded in number.

Only a Hello makes a device known, so a flood of state messages under invented
ids costs nothing.  Sessions order what a device's life looks like from here:
a LOST or SLEEPING of an older session than its last Hello says nothing.

A device behind a gateway says so in its Hello.  When the gateway goes, they all do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import NamedTuple

from aggregator.selection import Candidates
from aggregator.versions import Held
from wire.messages import Hello, Presence, Status


class Peer(NamedTuple):
    """One known device: its last Hello, and whether it is there."""

    hello: Hello
    held: Held  # as it said, or has proved since
    online: bool
    since: float  # of the last change, on the caller's clock
    asleep: bool = False  # it has left on purpose

    def would_say(self, hello: Hello) -> bool:
        """Whether a Hello tells nothing that is not known."""
        base, version, check = self.held
        return hello == replace(self.hello, base=base, version=version, check=check)


class Registry:
    """At most `most` devices; when full, the one gone longest makes room for a new one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._peers: dict[str, Peer] = {}
        self._gateways: dict[str, int] = {}  # sessions of those that a Hello has named
        self._here: Candidates | None = None  # who is there, until that changes
        self.online = 0  # devices that are there
        self.awake = 0  # devices that are there or may come back: all that have not left

    def __contains__(self, device: object) -> bool:
        return device in self._peers

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, device: str) -> Peer | None:
        """The peer of that id, if it is known."""
        return self._peers.get(device)

    def here(self) -> Candidates:
        """The devices that are there."""
        if self._here is None:
            self._here = Candidates(d for d, peer in self._peers.items() if peer.online)
        return self._here

    def hello(self, device: str, hello: Hello, now: float, keep: Collection[str]) -> bool:
        """Take a Hello; False if it must be refused.

        Refused are a Hello of an older session than the one that is there, and
        a new device when all places are taken by devices that are online or in
        `keep` (the open cohort).  A device that is gone may start its sessions
        again from 1: it may have lost its memory with its power.
        """
        known = self._peers.get(device)
        if known and known.online and hello.session < known.hello.session:
            return False
        if known is None and not self._make_room(keep):
            return False
        held = Held(hello.base, hello.version, hello.check)
        self._put(device, Peer(hello, held, online=True, since=now))
        if hello.gateway and len(self._gateways) < self._most:
            self._gateways.setdefault(hello.gateway, 0)
        return True

    def holds(self, device: str, held: Held) -> None:
        """Note what model a device has proved to hold since its Hello."""
        peer = self._peers.get(device)
        if peer is not None:
            self._peers[device] = peer._replace(held=held)

    def presence(self, device: str, presence: Presence, now: float) -> bool:
        """Take a birth, sleep or death; True if it changed who is there."""
        peer = self._peers.get(device)
        if peer is None or presence.session < peer.hello.session:
            return False
        asleep = presence.status is Status.SLEEPING
        if not peer.online:  # it may come back without a Hello, when the run is over
            self._put(device, peer._replace(asleep=asleep))
            return False
        if presence.status is Status.ONLINE and presence.session == peer.hello.session:
            return False
        # A birth of a newer session ends the old one; its Hello will follow.
        self._put(device, peer._replace(online=False, since=now, asleep=asleep))
        return True

    def gateway(self, name: str, presence: Presence, now: float) -> list[str]:
        """Take a gateway's birth, sleep or death; the devices that went with it.

        After a birth they say hello again.
        """
        session = self._gateways.get(name)
        if session is None or presence.session < session:
            return []
        self._gateways[name] = presence.session
        return self._gone(now, lambda peer: peer.hello.gateway == name)

    def all_gone(self, now: float) -> None:
        """Forget who is online, until they say hello again."""
        self._gone(now, lambda _: True)

    def _gone(self, now: float, which: Callable[[Peer], bool]) -> list[str]:
        gone = [d for d, peer in self._peers.items() if peer.online and which(peer)]
        for device in gone:
            self._put(device, self._peers[device]._replace(online=False, since=now))
        return gone

    def _put(self, device: str, peer: Peer) -> None:
        before = self._peers.get(device)
        was_online = before is not None and before.online
        self.online += peer.online - was_online
        self.awake += (not peer.asleep) - (before is not None and not before.asleep)
        if peer.online != was_online:
            self._here = None
        self._peers[device] = peer

    def _make_room(self, keep: Collection[str]) -> bool:
        if len(self._peers) < self._most:
            return True
        gone = [(p.since, d) for d, p in self._peers.items() if not p.online and d not in keep]
        if not gone:
            return False
        evicted = self._peers.pop(min(gone)[1])
        self.awake -= not evicted.asleep
        return True
