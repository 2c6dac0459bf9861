"""Objects in blocks: the receiver asks for what its bitmap lacks, the sender only answers.

Asking again is how a transfer resumes: blocks may be lost, repeated or
reordered, and either side may go away in between.

    assembly = Assembly(manifest, block=1024)
    while (need := assembly.missing()) is not None:
        for block in serve(need, {manifest.id: data}):   # across the broker
            assembly.add(block)
    assembly.result() == data
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping

from wire.errors import CorruptObject, WireError
from wire.messages import Block, Manifest, Need

WINDOW = 8  # blocks a receiver asks for at once
MAX_SERVED = 32  # blocks a sender answers one Need with,
MAX_SERVED_BYTES = 256 * 1024  # and their bytes, unless one block is larger
_BITMAP_BYTES = 64  # most in one Need


def count(size: int, block: int) -> int:
    """How many blocks an object of `size` bytes has; all are `block` bytes but the last."""
    return -(-size // block)


def block_of(data: bytes, id: bytes, index: int, block: int) -> Block:  # noqa: A002 - as in Block
    """Block `index` (from 0) of the object `data`."""
    piece = data[index * block : (index + 1) * block]
    return Block(id, index, count(len(data), block), zlib.crc32(piece), piece)


def serve(need: Need, objects: Mapping[bytes, bytes]) -> tuple[Block, ...]:
    """The blocks that `need` asks for, ascending; at most MAX_SERVED, the rest is asked for again.

    Bits beyond the object's end are ignored.

    Raises:
        WireError: the object is not one of `objects` (id → data).
    """
    data = objects.get(need.id)
    if data is None:
        raise WireError("Need.id", need.id.hex(), "an object on offer")
    most = min(MAX_SERVED, max(1, MAX_SERVED_BYTES // need.block))
    total = count(len(data), need.block)
    wanted = [index for index in _asked(need) if index < total]
    return tuple(block_of(data, need.id, index, need.block) for index in wanted[:most])


def _asked(need: Need) -> Iterator[int]:
    for bit in range(8 * len(need.bitmap)):
        if need.bitmap[bit // 8] >> (bit % 8) & 1:
            yield need.first + bit


class Assembly:
    """An object being received: its bytes so far, and a bitmap of the blocks they came in.

    Holds `manifest.size` bytes and one bit for each block, whatever arrives.
    """

    def __init__(self, manifest: Manifest, block: int) -> None:
        self.manifest = manifest
        self.block = block
        self.total = count(manifest.size, block)
        self._data = bytearray(manifest.size)
        self._clear()

    def _clear(self) -> None:
        self._have = bytearray(count(self.total, 8))
        self._left = self.total
        self._first = 0  # no block below this one is missing

    @property
    def done(self) -> bool:
        """Whether every block is here; `result` then says whether they are the right ones."""
        return self._left == 0

    def add(self, block: Block) -> bool:
        """Take in a block: True if it is new, False if it was here already.

        Raises:
            WireError: not a block of this object as it is cut here.
            CorruptObject: its CRC-32 is not that of its data.
        """
        self._check(block)
        if self._has(block.index):
            return False
        start = block.index * self.block
        self._data[start : start + len(block.data)] = block.data
        self._have[block.index // 8] |= 1 << block.index % 8
        self._left -= 1
        return True

    def missing(self, window: int = WINDOW) -> Need | None:
        """Ask for the first `window` blocks that lack, or None when nothing does."""
        if self.done:
            return None
        while self._has(self._first):
            self._first += 1
        end = min(self.total, self._first + 8 * _BITMAP_BYTES)
        bits = 0
        for index in range(self._first, end):
            if bits.bit_count() == window:
                break
            if not self._has(index):
                bits |= 1 << (index - self._first)
        bitmap = bits.to_bytes(count(bits.bit_length(), 8), "little")
        return Need(self.manifest.id, self.block, self._first, bitmap)

    def result(self) -> bytes:
        """A copy of the whole object, once `done`.

        Raises:
            CorruptObject: its SHA-256 is not the manifest's; the assembly is empty again.
        """
        assert self.done, "blocks are missing"
        digest = hashlib.sha256(self._data).digest()
        if digest != self.manifest.digest:
            self._clear()
            where = f"object {self.manifest.id.hex()}"
            raise CorruptObject(where, f"SHA-256 {digest.hex()}", self.manifest.digest.hex())
        return bytes(self._data)

    def _has(self, index: int) -> bool:
        return bool(self._have[index // 8] >> index % 8 & 1)

    def _check(self, block: Block) -> None:
        if block.id != self.manifest.id:
            raise WireError("Block.id", block.id.hex(), self.manifest.id.hex())
        if block.total != self.total:
            raise WireError("Block.total", str(block.total), str(self.total))
        if block.index >= self.total:
            raise WireError("Block.index", str(block.index), f"0 to {self.total - 1}")
        size = min(self.block, self.manifest.size - block.index * self.block)
        if len(block.data) != size:
            raise WireError("Block.data", f"{len(block.data)} bytes", f"{size}")
        crc = zlib.crc32(block.data)
        if crc != block.crc:
            raise CorruptObject("Block.crc", f"{block.crc:08x}", f"{crc:08x}, that of its data")
