"""Adaptive binary range coding: the readable reference of firmware/core/src/codec/coder.c.

One `Coder` either writes or reads, and the same calls in the same order do both:
what is written is passed in and comes back, what is read comes back.  So a format is
one function, and its two directions cannot drift apart.

    writer = Writer()
    for symbol in symbols:
        writer.number(GAPS, symbol, most=100, usual=12)
    data = writer.finish()

The arithmetic is Martin's range coder (1979) as binary decisions, carry included: integers
only, the same bytes on every machine.  docs/protocol.md, section 7, gives it bit for bit.
"""

from __future__ import annotations

from typing import Protocol

from wire.errors import CodecError

TOP = 1 << 24  # the range is kept at or above this
ONE = 1 << 16  # probabilities are 16 bits,
LEAST = 32  # and never closer to 0 or 1 than this
START = 16  # observations that an initial probability counts as
SLOWEST = 64  # observations after which adaptation slows no further

COUNTS, GAPS, LEVELS = range(3)  # kinds of numbers, each with contexts of its own
STEPS = 16  # contexts of each kind for the length of a number, and as many for its next bit
_USUAL = 8  # the context of a length that is the usual one

# First probabilities, trained on har updates of 20 to 600 bytes and on model differences.  Of
# each kind: that a number is longer than so many bits, from eight below the usual length on;
# and that the bit after the leading one is set, by the length likewise.
# fmt: off
FIRST = (
    (
        (40800, 42500, 50700, 61500, 58900, 60500, 58400, 36200,
         48100, 33300, 32900, 20600, 32800, 32800, 32800, 32800),
        (32800, 32800, 32800, 32800, 32800, 32800, 32700, 56500,
         29600, 29200, 25500, 28900, 32800, 32800, 32800, 32800),
    ),
    (
        (62900, 61700, 60100, 58000, 57600, 55100, 49700, 44200,
         36800, 30400, 20000, 18200, 19100, 32800, 32800, 32800),
        (37700, 28900, 31600, 28600, 22600, 23100, 25800, 26700,
         25800, 21900, 14400, 16500, 20500, 32800, 32800, 32800),
    ),
    (
        (32800, 32800, 41900, 43600, 48500, 50200, 42900, 30200,
         4300, 18200, 16100, 23100, 32800, 32800, 32800, 32800),
        (32800, 32800, 32800, 32800, 32800, 32800, 32800, 30900,
         25200, 22500, 20800, 23700, 32800, 32800, 32800, 32800),
    ),
)
# fmt: on


class Coder(Protocol):
    """Writes or reads one decision or several plain bits; everything else is made of these."""

    def bit(self, context: int, bit: int) -> int:
        """One decision in an adaptive context."""

    def plain(self, value: int, bits: int) -> int:
        """A number of `bits` bits, 0 to 32, each value as likely as any other."""


class _Contexts:
    """The adaptive probabilities that a bit is 1."""

    def __init__(self) -> None:
        self.chance: list[int] = []
        for longer, second in FIRST:
            self.chance += [*longer, *second]
        self.seen = [START] * len(self.chance)

    def learn(self, context: int, bit: int) -> None:
        """Move the probability towards what was seen, by less each time."""
        chance, seen = self.chance[context], self.seen[context]
        if bit:
            chance += (ONE - chance) // seen
        else:
            chance -= chance // seen
        self.chance[context] = min(max(chance, LEAST), ONE - LEAST)
        self.seen[context] = min(seen + 1, SLOWEST)


def number(coder: Coder, kind: int, value: int, most: int, usual: int) -> int:
    """A number 0 to `most` that tends to have as many bits as `usual` has.

    First its length in bits, as a unary number; then the bit after the leading one; both
    adaptive.  The other bits are plain.  CodecError when what is read is above `most`.
    """
    base = 2 * STEPS * kind
    shift = _USUAL - usual.bit_length()
    length, longest = 0, most.bit_length()
    while length < longest and coder.bit(
        base + min(max(length + shift, 0), STEPS - 1), value.bit_length() > length
    ):
        length += 1
    if length < 2:
        return length
    second = coder.bit(
        base + STEPS + min(max(length + shift, 0), STEPS - 1), value >> (length - 2) & 1
    )
    rest = length - 2
    found = (2 | second) << rest | coder.plain(value & ((1 << rest) - 1), rest)
    if found > most:
        raise CodecError("coded number", str(found), f"0 to {most}")
    return found


class Writer:
    """A Coder that writes."""

    def __init__(self) -> None:
        self._contexts = _Contexts()
        self._low = 0  # of the whole message so far, as one binary number: carries for free
        self._range = (1 << 32) - 1
        self._bytes = 0  # that were shifted out of the 32-bit window

    def bit(self, context: int, bit: int) -> int:
        """As Coder.bit."""
        bound = (self._range >> 16) * self._contexts.chance[context]
        if bit:
            self._range = bound
        else:
            self._low += bound
            self._range -= bound
        self._contexts.learn(context, bit)
        self._normalize()
        return bit

    def plain(self, value: int, bits: int) -> int:
        """As Coder.plain."""
        for shift in range(bits - 1, -1, -1):
            bound = self._range >> 1
            if value >> shift & 1:
                self._low += bound
                self._range -= bound
            else:
                self._range = bound
            self._normalize()
        return value

    def finish(self) -> bytes:
        """The message: the shortest that a reader takes, which sees zeros behind its end."""
        end = 0 if self._bytes else 1
        for size in range(end, 5):
            mask = (1 << (32 - 8 * size)) - 1
            value = (self._low + mask) & ~mask
            if value < self._low + self._range:
                break
        return value.to_bytes(self._bytes + 4)[: self._bytes + size]

    def _normalize(self) -> None:
        while self._range < TOP:
            self._range <<= 8
            self._low <<= 8
            self._bytes += 1


class Reader:
    """A Coder that reads.  Any bytes at all are a message; `finish` says whether one was left."""

    def __init__(self, data: bytes) -> None:
        self._contexts = _Contexts()
        self._data = data
        self._range = (1 << 32) - 1
        self._code = int.from_bytes(data[:4].ljust(4, b"\0"))
        self._at = 4
        if not data or self._code == self._range:
            raise CodecError("coded", f"{data[:4].hex()!r}", "a message that a Writer makes")

    def bit(self, context: int, bit: int) -> int:  # noqa: ARG002 - nothing is known beforehand
        """As Coder.bit."""
        bound = (self._range >> 16) * self._contexts.chance[context]
        found = int(self._code < bound)
        if found:
            self._range = bound
        else:
            self._code -= bound
            self._range -= bound
        self._contexts.learn(context, found)
        self._normalize()
        return found

    def plain(self, value: int, bits: int) -> int:  # noqa: ARG002
        """As Coder.plain."""
        found = 0
        for _ in range(bits):
            bound = self._range >> 1
            one = int(self._code >= bound)
            self._code -= bound * one
            self._range = self._range - bound if one else bound
            found = found << 1 | one
            self._normalize()
        return found

    def finish(self) -> None:
        """Raise CodecError for bytes that were not read."""
        if len(self._data) > self._at:
            raise CodecError("coded", f"{len(self._data)} bytes", f"{self._at}: nothing follows")

    def _normalize(self) -> None:
        while self._range < TOP:
            self._range <<= 8
            following = self._data[self._at] if self._at < len(self._data) else 0
            self._code = self._code << 8 | following
            self._at += 1
