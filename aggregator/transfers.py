"""Updates on their way in: pulled in blocks, one per device, bounded in memory.

The receiver drives: a Need asks for a window of blocks, and is repeated when
they have come, or with growing patience when they have not.  A device that
vanishes leaves what it sent so far; the rest is asked for when it offers
again.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.blocks import Assembly
from wire.errors import CorruptObject, WireError
from wire.messages import Block, Need, Offer, Reason

FIRST_PATIENCE = 2.0  # seconds until a Need is repeated; doubles
LAST_PATIENCE = 30.0
MOST_BYTES = 64 * 1024 * 1024  # of all updates being pulled


@dataclass(frozen=True, slots=True)
class Pulled:
    """A complete transfer; without a payload if it does not hash to what was offered."""

    offer: Offer
    payload: bytes | None


class _Pull:
    def __init__(self, offer: Offer, block: int) -> None:
        self.offer = offer
        self.assembly = Assembly(offer.manifest, block)
        self.due = 0.0
        self.patience = FIRST_PATIENCE
        self.awaited: set[int] = set()

    def ask(self, now: float) -> Need:
        need = self.assembly.missing()
        assert need is not None, "a complete transfer is not kept"
        bits = int.from_bytes(need.bitmap, "little")
        self.awaited = {need.first + i for i in range(bits.bit_length()) if bits >> i & 1}
        self.due = now + self.patience
        return need


class Transfers:
    """All pulls of one round.

    Args:
        most: bytes of all updates together; an offer beyond it waits until the
            device repeats it, unless a pull that has stalled can make room.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._pulls: dict[str, _Pull] = {}

    def __len__(self) -> int:
        return len(self._pulls)

    def begin(self, device: str, offer: Offer, block: int, now: float) -> Need | None:
        """What to ask a device for that offers; None if there is no room now.

        The same offer again goes on where it was; another one replaces it.
        """
        pull = self._pulls.get(device)
        if pull is None or pull.offer != offer or pull.assembly.block != block:
            self.drop(device)
            if not self._make_room(offer.manifest.size):
                return None
            pull = self._pulls[device] = _Pull(offer, block)
            self._bytes += offer.manifest.size
        pull.patience = FIRST_PATIENCE
        return pull.ask(now)

    def take(self, device: str, block: Block, now: float) -> Pulled | Need | Reason | None:
        """What a block leads to: the whole object, the next Need, a refusal, or nothing yet."""
        pull = self._pulls.get(device)
        if pull is None or block.id != pull.offer.manifest.id:
            return Reason.STALE  # of a transfer that is over
        try:
            new = pull.assembly.add(block)
        except CorruptObject:
            return Reason.CORRUPT
        except WireError:
            return Reason.MALFORMED
        if not new:
            return Reason.DUPLICATE
        pull.patience = FIRST_PATIENCE
        pull.awaited.discard(block.index)
        if pull.assembly.done:
            self.drop(device)
            return _finished(pull)
        return None if pull.awaited else pull.ask(now)

    def due(self, now: float) -> list[tuple[str, Need]]:
        """The Needs that must be repeated by now."""
        late = [(device, pull) for device, pull in self._pulls.items() if pull.due <= now]
        for _, pull in late:
            pull.patience = min(2 * pull.patience, LAST_PATIENCE)
        return [(device, pull.ask(now)) for device, pull in late]

    def drop(self, device: str) -> None:
        """Forget a device's transfer, if there is one."""
        pull = self._pulls.pop(device, None)
        if pull is not None:
            self._bytes -= pull.offer.manifest.size

    def clear(self) -> None:
        """Forget all: the round is over."""
        self._pulls.clear()
        self._bytes = 0

    def _make_room(self, size: int) -> bool:
        stalled = [d for d, p in self._pulls.items() if p.patience > 2 * FIRST_PATIENCE]
        for device in sorted(stalled, key=lambda d: self._pulls[d].due, reverse=True):
            if self._bytes + size <= self._most:
                break
            self.drop(device)
        return self._bytes + size <= self._most


def _finished(pull: _Pull) -> Pulled:
    try:
        return Pulled(pull.offer, pull.assembly.result())
    except CorruptObject:
        return Pulled(pull.offer, None)
