"""Numbers of any width, packed without gaps; the most significant bit of each byte first."""

from __future__ import annotations

import numpy as np

from wire.errors import CodecError


class BitWriter:
    """Collects bits."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def plain(self, value: int, width: int) -> None:
        """A number 0 … 2^width − 1 in `width` bits."""
        if width:
            self._text.append(format(value, f"0{width}b"))

    def unary(self, value: int) -> None:
        """`value` ones and a zero."""
        self._text.append("1" * value + "0")

    def gamma(self, value: int) -> None:
        """A number from 1 on in Elias' gamma code (Elias 1975)."""
        self.unary(value.bit_length() - 1)
        self.plain(value - (1 << (value.bit_length() - 1)), value.bit_length() - 1)

    def result(self) -> bytes:
        """All bits, filled up with zeros to whole bytes."""
        bits = np.frombuffer("".join(self._text).encode(), np.uint8) - ord("0")
        packed: bytes = np.packbits(bits).tobytes()
        return packed


class BitReader:
    """Reads what a BitWriter wrote; CodecError beyond the end."""

    def __init__(self, data: bytes) -> None:
        bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._text = (bits + ord("0")).tobytes().decode()
        self._at = 0

    def plain(self, width: int) -> int:
        """As BitWriter.plain."""
        end = self._at + width
        if end > len(self._text):
            raise CodecError("update", f"{len(self._text)} bits", f"at least {end}")
        text, self._at = self._text[self._at : end], end
        return int(text, 2) if width else 0

    def unary(self) -> int:
        """As BitWriter.unary."""
        end = self._text.find("0", self._at)
        if end < 0:
            raise CodecError("update", "a unary number without end", "a zero behind it")
        value, self._at = end - self._at, end + 1
        return value

    def gamma(self) -> int:
        """As BitWriter.gamma; at most 32 bits."""
        width = self.unary()
        if width > 31:
            raise CodecError("update", f"a gamma code of {width + 1} bits", "at most 32")
        return 1 << width | self.plain(width)

    def finish(self) -> None:
        """Raise CodecError unless only the filling of the last byte is left."""
        rest = self._text[self._at :]
        if len(rest) > 7 or "1" in rest:
            raise CodecError("update", f"{len(rest)} bits after the last number", "up to 7 zeros")
