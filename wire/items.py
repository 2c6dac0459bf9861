"""The CBOR that messages are made of (RFC 8949): its items written, and a strict reader.

Definite lengths, unsigned integers as map keys, no tags, nothing after the one
item, and few items in all: whatever the bytes, reading takes microseconds, and
memory for so many objects of Python's (40 KB at most) and for what the strings
hold (of a text six times its bytes at most, while it is decoded).

A general decoder builds what it is told to: a map whose keys are arrays with
one hash takes seconds, a bignum any time.
"""

from __future__ import annotations

import struct
from typing import Any

from wire.errors import WireError

MAX_ITEMS = 256  # keys and values together; the largest message of this version has 55
MAX_DEPTH = 8

UINT, BYTES, TEXT, ARRAY, MAP = 0, 2, 3, 4, 5  # major types
_HEADS = [
    [bytes([major << 5 | n] if n < 24 else [major << 5 | 24, n]) for n in range(256)]
    for major in range(6)
]
_SIMPLE = {20: False, 21: True, 22: None}
_HALF, _SINGLE, _DOUBLE = struct.Struct(">e"), struct.Struct(">f"), struct.Struct(">d")
_FLOATS = {25: _HALF.unpack_from, 26: _SINGLE.unpack_from, 27: _DOUBLE.unpack_from}
_MOST_HALF = 65504.0


def head(major: int, n: int) -> bytes:
    """The head of an item, in as few bytes as n ≥ 0 needs: a number itself, or how much follows."""
    if n < 256:
        return _HEADS[major][n]
    info = 25 if n < 1 << 16 else 26 if n < 1 << 32 else 27
    size = 1 << info - 24
    return ((major << 5 | info) << 8 * size | n).to_bytes(1 + size)


def real_item(value: float) -> bytes:
    """A finite float32, in half precision where that holds it."""
    single = _SINGLE.pack(value)
    if single[3] == 0 and abs(value) <= _MOST_HALF:  # as all halves end, but few other values
        half = _HALF.pack(value)
        if _HALF.unpack(half)[0] == value:
            return b"\xf9" + half
    return b"\xfa" + single


def read_item(data: bytes) -> Any:
    """The one item that `data` is: int, float, bytes, str, list, dict, bool or None.

    Raises:
        WireError: names the byte where something else begins.
    """
    try:
        items, end, _ = _items(data, 0, 1, MAX_ITEMS, MAX_DEPTH)
    except IndexError:  # of `data`, where an item should begin
        raise _cut_short(data, len(data), 1) from None
    if end < len(data):
        raise _refusal(end, f"{len(data) - end} bytes more", "the end")
    return items[0]


def _items(  # noqa: C901, PLR0912 - one loop: a call for each item would double its time
    data: bytes, at: int, count: int, room: int, depth: int, *, keyed: bool = False
) -> tuple[dict[int, Any], int, int]:
    """So many items from byte `at` on, by the keys before them if `keyed`, else numbered.

    Also where they end, and how many more of `room` may follow.
    """
    room -= 2 * count if keyed else count
    if room < 0 or depth == 0 < count:
        raise _refusal(at, "more items", f"{MAX_ITEMS} items, nested {MAX_DEPTH} deep")
    size = len(data)
    items: dict[int, Any] = {}
    for number in range(count):
        key = number
        if keyed:
            key = data[at]
            at += 1
            if key > 23:
                key, at, room = _large_key(data, at - 1, room, depth)
            if key in items:
                raise _refusal(at, f"key {key} again", "each key once")
        first = data[at]
        at += 1
        if first < 24:  # the commonest: a small number
            items[key] = first
            continue
        major, n = first >> 5, first & 31
        start = at
        if n > 23:  # the argument is in the 1, 2, 4 or 8 bytes that follow
            at += 1 << n - 24
            if n > 27:
                raise _refusal(start, f"additional information {n}", "a definite length")
            if at > size:
                raise _cut_short(data, start, at - start)
            if major < 7:
                n = int.from_bytes(data[start:at])
        value: Any
        match major:
            case 0:
                value = n
            case 2 | 3:
                start, at = at, at + n
                if at > size:
                    raise _cut_short(data, start, n)
                value = data[start:at] if major == 2 else _text(data, start, at)
            case 7 if n in _FLOATS:
                value = _FLOATS[n](data, start)[0]
            case 5:
                value, at, room = _items(data, at, n, room, depth - 1, keyed=True)
            case 4:
                numbered, at, room = _items(data, at, n, room, depth - 1)
                value = list(numbered.values())
            case _:
                value = _rare(major, n, at)
        items[key] = value
    return items, at, room


def _large_key(data: bytes, at: int, room: int, depth: int) -> tuple[int, int, int]:
    """A key that is not one byte, where it ends, and the room that it leaves."""
    items, at, room = _items(data, at, 1, room + 1, depth)
    key = items[0]
    if type(key) is not int or key < 0:
        raise _refusal(at, f"a key of type {type(key).__name__}", "unsigned integers as keys")
    return key, at, room


def _text(data: bytes, at: int, end: int) -> str:
    try:
        return data[at:end].decode()
    except UnicodeDecodeError as error:
        raise _refusal(at, str(error), "UTF-8") from None


def _rare(major: int, n: int, at: int) -> int | bool | None:
    """What no field holds: it may stand below a key that this version does not know."""
    if major == 1:
        return -1 - n
    if major == 6:
        raise _refusal(at, f"tag {n}", "no tags")
    if n not in _SIMPLE:
        raise _refusal(at, f"simple value or break {n}", "false, true, null or a float")
    return _SIMPLE[n]


def _cut_short(data: bytes, at: int, wanted: int) -> WireError:
    return _refusal(at, f"{len(data) - at} bytes more", f"{wanted}")


def _refusal(at: int, found: str, allowed: str) -> WireError:
    return WireError(f"payload byte {at}", found, allowed)
