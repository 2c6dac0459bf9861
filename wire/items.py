"""The CBOR that messages are made of (RFC 8949): its items written, and a strict reader.

Definite lengths, unsigned integers as map keys, no tags, nothing after the one
item, and few items in all: whatever the bytes, reading takes microseconds and
no more memory than they do.  (A general decoder builds what it is told to: a
map whose keys are arrays with one hash takes seconds, a bignum any time.)
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from wire.errors import WireError

MAX_ITEMS = 256  # keys and values together; the largest message of this version has 55
MAX_DEPTH = 8

UINT, BYTES, TEXT, ARRAY, MAP = 0, 2, 3, 4, 5  # major types
_HEADS = [[bytes([major << 5 | n]) for n in range(24)] for major in range(6)]
_SIMPLE = {20: False, 21: True, 22: None}
_MOST_HALF = 65504.0
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}


def head(major: int, n: int) -> bytes:
    """The head of an item, in as few bytes as n ≥ 0 needs: a number itself, or how much follows."""
    if n < 24:
        return _HEADS[major][n]
    size = max((n.bit_length() + 7) // 8, 1)
    info = 24 + (size - 1).bit_length()
    return bytes([major << 5 | info]) + n.to_bytes(1 << info - 24)


def real_item(value: float) -> bytes:
    """A finite float32, in half precision where that holds it."""
    single = _FLOATS[26].pack(value)
    if abs(value) <= _MOST_HALF and _FLOATS[25].unpack(half := _FLOATS[25].pack(value))[0] == value:
        return b"\xf9" + half
    return b"\xfa" + single


def read_item(data: bytes) -> Any:
    """The one item that `data` is: int, float, bytes, str, list, dict, bool or None.

    Raises:
        WireError: names the byte where something else begins.
    """
    reader = _Reader(data)
    item = reader.item(MAX_DEPTH)
    if reader.at < len(data):
        reader.refuse(f"{len(data) - reader.at} bytes more", "the end")
    return item


class _Reader:
    __slots__ = ("at", "data", "items", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.at = 0
        self.items = 0

    def refuse(self, found: str, allowed: str) -> NoReturn:
        raise WireError(f"payload byte {self.at}", found, allowed)

    def item(self, depth: int) -> Any:  # noqa: C901 - one arm for each major type
        self.items += 1
        if self.items > MAX_ITEMS or depth == 0:
            self.refuse("one item more", f"{MAX_ITEMS} items, nested {MAX_DEPTH} deep")
        if self.at >= self.size:
            self.refuse("0 bytes more", "1")
        head = self.data[self.at]
        self.at += 1
        if head < 24:  # the commonest: a key, or a small number
            return head
        major, info = head >> 5, head & 31
        if major == 7:
            return self.simple(info)
        n = info if info < 24 else self.argument(info)
        value: Any
        match major:
            case 0:
                value = n
            case 2:
                value = self.take(n)
            case 5:
                value = self.map(n, depth)
            case 3:
                value = self.text(n)
            case 4:
                value = [self.item(depth - 1) for _ in range(n)]
            case 1:
                value = -1 - n
            case _:
                self.refuse(f"tag {n}", "no tags")
        return value

    def take(self, n: int) -> bytes:
        end = self.at + n
        if end > self.size:
            self.refuse(f"{self.size - self.at} bytes more", f"{n}")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def argument(self, info: int) -> int:
        if info > 27:
            self.refuse(f"additional information {info}", "a definite length")
        return int.from_bytes(self.take(1 << info - 24))

    def text(self, n: int) -> str:
        octets = self.take(n)
        try:
            return octets.decode()
        except UnicodeDecodeError as error:
            self.refuse(str(error), "UTF-8")

    def map(self, n: int, depth: int) -> dict[int, Any]:
        items: dict[int, Any] = {}
        for _ in range(n):
            if self.at < self.size and self.data[self.at] < 24:  # as nearly all keys are
                key = self.data[self.at]
                self.at += 1
                self.items += 1
            else:
                key = self.item(depth - 1)
            if type(key) is not int or key < 0:
                self.refuse(f"a key of type {type(key).__name__}", "unsigned integers as keys")
            if key in items:
                self.refuse(f"key {key} again", "each key once")
            items[key] = self.item(depth - 1)
        return items

    def simple(self, info: int) -> float | bool | None:
        if info in _FLOATS:
            number: float = _FLOATS[info].unpack(self.take(_FLOATS[info].size))[0]
            return number
        if info not in _SIMPLE:
            self.refuse(f"simple value or break {info}", "false, true, null or a float")
        return _SIMPLE[info]
