"""Messages as bytes and back: one CBOR map with integer keys each (RFC 8949).

Encoding is deterministic (section 4.2: ascending keys, shortest heads and
floats; defaults are left out).  Decoding takes any definite-length encoding of
the same values and refuses everything else with a WireError.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import IntEnum
from functools import cache, lru_cache
from typing import Any

import cbor2

from wire.errors import WireError
from wire.fields import Spec, spec_of
from wire.items import read_item
from wire.messages import MAX_BLOCK, TYPES, Message

MAX_PAYLOAD = MAX_BLOCK + 1024
_FLOAT32 = struct.Struct("<f")
_NUMBER = {cls: number for number, cls in TYPES.items()}

_Field = tuple[str, Spec, Any]  # name, spec, default or MISSING


def encode(message: Message) -> bytes:
    """The payload of `message`; reals are rounded to float32.

    Raises:
        WireError: a field holds what its Spec does not allow.
    """
    body = {0: _NUMBER[type(message)], **_write_part(message, type(message).__name__)}
    return cbor2.dumps(body, canonical=True)


def decode(payload: bytes) -> Message:
    """The message in `payload`, exactly typed and within the bounds of its Specs.

    Keys that this version does not know are ignored.

    Raises:
        WireError: anything else than one well-formed message of this protocol.
    """
    # Of short payloads the last ones are remembered: a cohort's tasks, needs and blocks are
    # equal, and messages never change.
    return _decode_known(payload) if len(payload) <= _SHORT else _decode(payload)


def _decode(payload: bytes) -> Message:
    if len(payload) > MAX_PAYLOAD:
        raise WireError("payload", f"{len(payload)} bytes", f"at most {MAX_PAYLOAD}")
    body = read_item(payload)
    number = _map(body, "message").get(0, MISSING)
    if type(number) is not int or number not in TYPES:
        raise WireError("message.type (key 0)", _show(number), f"1 to {len(TYPES)}")
    cls = TYPES[number]
    message: Message = _read_part(cls, body, cls.__name__)
    return message


_SHORT = 16 * 1024
_decode_known = lru_cache(maxsize=256)(_decode)


def _plans(*classes: type[Any]) -> dict[type[Any], tuple[_Field, ...]]:
    """The fields of each message class and of its nested parts, ascending by key."""
    plans: dict[type[Any], tuple[_Field, ...]] = {}
    for cls in classes:
        rows = sorted(
            ((f.name, spec_of(f), f.default) for f in fields(cls)), key=lambda row: row[1].key
        )
        plans[cls] = tuple(rows)
        plans |= _plans(*(spec.of for _, spec, _ in rows if spec.of is not None))
    return plans


_PLANS = _plans(*TYPES.values())


def _map(body: Any, where: str) -> dict[int, Any]:
    if type(body) is not dict:
        raise WireError(where, _show(body), "a map")
    return body


def _read_part(cls: type[Any], body: Any, where: str) -> Any:
    known = _map(body, where)
    values = {}
    missing = False
    for name, spec, default in _PLANS[cls]:
        value = known.get(spec.key, MISSING)
        values[name] = default if value is MISSING else _read(value, spec, where, name)
        missing = missing or values[name] is MISSING
    if missing:
        _derive(cls, values, where)
    return cls(**values)


def _derive(cls: type[Any], values: dict[str, Any], where: str) -> None:
    """Put in what follows from other fields; WireError if something is still missing."""
    for name, spec, _ in _PLANS[cls]:
        if values[name] is MISSING:
            values[name] = _derived(spec, values)
        if values[name] is MISSING:
            raise WireError(
                f"{where}.{name} (key {spec.key})", "nothing", "a value: it is required"
            )


def _write_part(part: Any, where: str) -> dict[int, Any]:
    plan = _PLANS[type(part)]
    values = {name: getattr(part, name) for name, _, _ in plan}
    body = {}
    for name, spec, default in plan:
        usual = _derived(spec, values) if default is MISSING else default
        if values[name] != usual:
            body[spec.key] = _write(values[name], spec, where, name)
    return body


def _derived(spec: Spec, values: Mapping[str, Any]) -> Any:
    return MISSING if spec.derived is None else spec.derived(values)


# A field is named by the part that it is in and its own name: they are joined only to say
# what is wrong with it.


def _read(value: Any, spec: Spec, part: str, name: str) -> Any:
    match spec.kind:
        case "record":
            return _read_part(_nested(spec), value, f"{part}.{name}")
        case "many":
            where = f"{part}.{name}"
            if type(value) is not list or len(value) > spec.most:
                raise WireError(where, _show(value), f"an array of at most {spec.most} maps")
            return tuple(
                _read_part(_nested(spec), item, f"{where}[{i}]") for i, item in enumerate(value)
            )
        case "real":
            if type(value) is not float:
                raise WireError(f"{part}.{name}", _show(value), "a float")
            return _float32(value, part, name)
        case _:
            return _checked(value, spec, part, name)


def _write(value: Any, spec: Spec, part: str, name: str) -> Any:
    match spec.kind:
        case "record":
            where = f"{part}.{name}"
            return _write_part(_instance(value, spec, where), where)
        case "many":
            where = f"{part}.{name}"
            if not isinstance(value, tuple | list) or len(value) > spec.most:
                raise WireError(where, _show(value), f"a tuple of at most {spec.most}")
            return [
                _write_part(_instance(item, spec, f"{where}[{i}]"), f"{where}[{i}]")
                for i, item in enumerate(value)
            ]
        case "real":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise WireError(f"{part}.{name}", _show(value), "a number")
            return _float32(float(value), part, name)
        case _:
            if spec.enum is not None and type(value) is spec.enum:
                return int(value)
            _checked(value, spec, part, name)
            return value


def _checked(value: Any, spec: Spec, part: str, name: str) -> Any:
    """A uint, text or blob that fits its spec; an enum's member for its number."""
    if spec.enum is not None:
        member = _members(spec.enum).get(value) if type(value) is int else None
        if member is None:
            names = ", ".join(f"{member.value} {member.name}" for member in spec.enum)
            raise WireError(f"{part}.{name}", _show(value), names)
        return member
    kind, measure, unit = _KINDS[spec.kind]
    if type(value) is not kind or not spec.least <= measure(value) <= spec.most:
        raise WireError(f"{part}.{name}", _show(value), f"{unit} {spec.least} to {spec.most}")
    return value


@cache
def _members(enum: type[IntEnum]) -> dict[int, IntEnum]:
    return {member.value: member for member in enum}


def _utf8_length(value: str) -> int:
    # surrogates cannot travel as UTF-8: -1 lies outside every bound
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return -1


_KINDS: dict[str, tuple[type, Callable[[Any], int], str]] = {
    "uint": (int, int, "an integer from"),
    "text": (str, _utf8_length, "text, in bytes of UTF-8"),
    "blob": (bytes, len, "a byte string, in bytes"),
}


def _float32(value: float, part: str, name: str) -> float:
    try:
        rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        rounded = math.inf
    if not math.isfinite(rounded):
        raise WireError(f"{part}.{name}", _show(value), "a finite float32")
    return rounded


def _nested(spec: Spec) -> type[Any]:
    assert spec.of is not None
    return spec.of


def _instance(value: Any, spec: Spec, where: str) -> Any:
    if type(value) is not spec.of:
        raise WireError(where, _show(value), f"a {_nested(spec).__name__}")
    return value


def _show(value: Any) -> str:
    """A short description for an error message, however large the value."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        return f"{len(value)} characters {value[:24]!r}"
    return repr(value)[:48]
