"""Who takes part in a round: a seeded choice that does not depend on who asks, or where.

Every device gets a ticket, a hash of (seed, round, id); the lowest tickets
are chosen.  The same seed chooses the same devices on every machine and
library version, and a device that comes or goes moves nobody but the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b
from heapq import nsmallest


def cohort_size(setting: float, online: int) -> int:
    """Devices to ask: `setting` up to 1.0 is a share of those online, above it a number."""
    wanted = math.ceil(setting * online - 1e-9) if setting <= 1 else int(setting)
    return min(max(wanted, 1), online)


def quorum_size(share: float, cohort: int) -> int:
    """Accepted updates that a round of `cohort` devices needs; at least one."""
    return max(math.ceil(share * cohort - 1e-9), 1)


def choose(online: Iterable[str], size: int, seed: int, round_number: int) -> tuple[str, ...]:
    """The `size` devices of a round, sorted by id."""
    start = f"{seed} {round_number} ".encode()
    tickets = [
        (blake2b(start + device.encode(), digest_size=8).digest(), device) for device in online
    ]
    return tuple(sorted(device for _, device in nsmallest(size, tickets)))


def task_seed(seed: int, round_number: int) -> int:
    """The 32-bit seed that a round's tasks carry."""
    ticket = blake2b(f"{seed} {round_number} ".encode(), digest_size=4)
    return int.from_bytes(ticket.digest(), "little")
