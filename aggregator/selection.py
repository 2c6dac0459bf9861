"""Who takes part in a round: a seeded choice that does not depend on who asks, or where.

Every device gets a ticket, a hash of (seed, round, id); the lowest tickets
are chosen.  The same seed chooses the same devices on every machine and
library version, and a device that comes or goes moves nobody but the last.

A device's id is hashed once, however many rounds there are; a round mixes that
key with its own, all devices in a few operations on integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]


def cohort_size(setting: float, online: int) -> int:
    """Devices to ask: `setting` up to 1.0 is a share of those online, above it a number."""
    wanted = math.ceil(setting * online - 1e-9) if setting <= 1 else int(setting)
    return min(max(wanted, 1), online)


def quorum_size(share: float, cohort: int) -> int:
    """Accepted updates that a round of `cohort` devices needs; at least one."""
    return max(math.ceil(share * cohort - 1e-9), 1)


class Candidates:
    """The devices that may be chosen."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = sorted(ids)
        keys = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in self.ids)
        self._keys = np.frombuffer(keys, "<u8").astype(np.uint64)

    def __len__(self) -> int:
        return len(self.ids)

    def choose(self, size: int, seed: int, round_number: int) -> tuple[str, ...]:
        """The `size` devices of a round, 1 to all, sorted by id."""
        start = blake2b(f"{seed} {round_number} ".encode(), digest_size=8).digest()
        tickets = _mixed(self._keys ^ np.uint64(int.from_bytes(start, "little")))
        lowest = np.argpartition(tickets, size - 1)[:size]
        return tuple(self.ids[index] for index in np.sort(lowest))


def _mixed(z: U64) -> U64:
    """Every bit of a number into every bit of another: SplitMix64 (Steele et al. 2014)."""
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def task_seed(seed: int, round_number: int) -> int:
    """The 32-bit seed that a round's tasks carry."""
    ticket = blake2b(f"{seed} {round_number} ".encode(), digest_size=4)
    return int.from_bytes(ticket.digest(), "little")
