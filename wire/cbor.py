"""Messages as bytes and back: one CBOR map with integer keys each (RFC 8949).

Encoding is deterministic (section 4.2: ascending keys, shortest heads and
floats; defaults are left out).  Decoding takes any definite-length encoding of
the same values and refuses everything else with a WireError.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import MISSING, fields
from enum import IntEnum
from typing import Any, NamedTuple

from wire.errors import WireError
from wire.fields import Derived, Spec, spec_of
from wire.items import ARRAY, BYTES, MAP, TEXT, UINT, head, read_item, real_item
from wire.messages import MAX_BLOCK, TYPES, Message

MAX_PAYLOAD = MAX_BLOCK + 1024
_FLOAT32 = struct.Struct("<f")
_TYPE_FIELD = {cls: head(UINT, 0) + head(UINT, number) for number, cls in TYPES.items()}

_Read = Callable[[Any, str], Any]  # from CBOR's types; is given the name of the part around it
_Write = Callable[[Any, str], bytes]  # as CBOR, behind the key


class _Plan(NamedTuple):
    """How a message class is read and written, by its fields' names but for `readers`."""

    readers: dict[int, tuple[str, _Read]]  # by key: the field's name, and what reads it
    writers: dict[str, _Write]  # ascending by key
    defaults: dict[str, Any]  # of the fields that have one
    derived: dict[str, Derived]  # of those whose default follows from a field that is not here


def encode(message: Message) -> bytes:
    """The payload of `message`; reals are rounded to float32.

    Raises:
        WireError: a field holds what its Spec does not allow.
    """
    cls = type(message)
    return _write_part(message, cls.__name__, _TYPE_FIELD[cls])


def decode(payload: bytes) -> Message:
    """The message in `payload`, exactly typed and within the bounds of its Specs.

    Keys that this version does not know are ignored.

    Raises:
        WireError: anything else than one well-formed message of this protocol.
    """
    if len(payload) > MAX_PAYLOAD:
        raise WireError("payload", f"{len(payload)} bytes", f"at most {MAX_PAYLOAD}")
    body = read_item(payload)
    if type(body) is not dict:
        raise WireError("message", _show(body), "a map")
    number = body.get(0, MISSING)
    if type(number) is not int or number not in TYPES:
        raise WireError("message.type (key 0)", _show(number), f"1 to {len(TYPES)}")
    cls = TYPES[number]
    message: Message = _read_part(cls, body, cls.__name__)
    return message


def _read_part(cls: type[Any], body: Any, where: str) -> Any:
    if type(body) is not dict:
        raise WireError(where, _show(body), "a map")
    plan = _PLANS[cls]
    readers, values = plan.readers, plan.defaults.copy()
    for key, value in body.items():
        if key in readers:
            name, read = readers[key]
            values[name] = read(value, where)
    if len(values) < len(readers):
        _complete(plan, values, where)
    part = object.__new__(cls)
    part.__dict__.update(values)  # in a fifth of __init__'s time, which sets one by one
    return part


def _complete(plan: _Plan, values: dict[str, Any], where: str) -> None:
    """Put in what follows from other fields; WireError if something is still missing."""
    derivable = [name for name in plan.derived if name not in values]
    if len(values) + len(derivable) == len(plan.readers):  # all that they may follow from is here
        for name in derivable:
            source, make = plan.derived[name]
            if (value := make(values[source])) is not MISSING:
                values[name] = value
    if len(values) < len(plan.readers):
        key, name = next((k, name) for k, (name, _) in plan.readers.items() if name not in values)
        raise WireError(f"{where}.{name} (key {key})", "nothing", "a value: it is required")


def _write_part(part: Any, where: str, first: bytes = b"") -> bytes:
    """The map of a part; `first`: a field before the others."""
    plan, values = _PLANS[type(part)], vars(part)
    usual = plan.defaults
    for name, (source, make) in plan.derived.items():
        usual = {**usual, name: make(values[source])}
    items = [first] if first else []
    for name, write in plan.writers.items():
        value = values[name]
        if name not in usual or value != usual[name]:
            items.append(write(value, where))
    return head(MAP, len(items)) + b"".join(items)


def _plans(*classes: type[Any]) -> dict[type[Any], _Plan]:
    """The plans of message classes and of the parts nested in them."""
    plans: dict[type[Any], _Plan] = {}
    for cls in classes:
        plans[cls] = plan = _Plan({}, {}, {}, {})
        for f in fields(cls):
            spec = spec_of(f)
            read, plan.writers[f.name] = _conversions(spec, f.name)
            plan.readers[spec.key] = f.name, read
            if f.default is not MISSING:
                plan.defaults[f.name] = f.default
            if spec.derived is not None:
                plan.derived[f.name] = spec.derived
            if spec.of is not None:
                plans |= _plans(spec.of)
        assert list(plan.readers) == sorted(plan.readers)
        sources = {source for source, _ in plan.derived.values()}
        assert sources <= plan.writers.keys() - plan.derived.keys()
    return plans


# A field is named by the part that it is in and its own name: they are joined only to say
# what is wrong with it.


def _conversions(spec: Spec, name: str) -> tuple[_Read, _Write]:
    """What reads and what writes the values of a field."""
    key = head(UINT, spec.key)
    match spec.kind:
        case "record":
            return _record(spec, name, key)
        case "many":
            return _many(spec, name, key)
        case "real":
            return _real(name, key)
        case "uint" if spec.enum is not None:
            return _member(spec.enum, name, key)
        case "uint":
            return _uint(spec, name, key)
    return _string(spec, name, key)


def _record(spec: Spec, name: str, key: bytes) -> tuple[_Read, _Write]:
    of = _nested(spec)

    def read(value: Any, part: str) -> Any:
        return _read_part(of, value, f"{part}.{name}")

    def write(value: Any, part: str) -> bytes:
        where = f"{part}.{name}"
        return key + _write_part(_instance(value, of, where), where)

    return read, write


def _many(spec: Spec, name: str, key: bytes) -> tuple[_Read, _Write]:
    of = _nested(spec)

    def read(value: Any, part: str) -> tuple[Any, ...]:
        where = f"{part}.{name}"
        if type(value) is not list or len(value) > spec.most:
            raise WireError(where, _show(value), f"an array of at most {spec.most} maps")
        return tuple(_read_part(of, item, f"{where}[{i}]") for i, item in enumerate(value))

    def write(value: Any, part: str) -> bytes:
        where = f"{part}.{name}"
        if not isinstance(value, tuple | list) or len(value) > spec.most:
            raise WireError(where, _show(value), f"a tuple of at most {spec.most}")
        items = [
            _write_part(_instance(item, of, f"{where}[{i}]"), f"{where}[{i}]")
            for i, item in enumerate(value)
        ]
        return key + head(ARRAY, len(items)) + b"".join(items)

    return read, write


def _real(name: str, key: bytes) -> tuple[_Read, _Write]:
    def read(value: Any, part: str) -> float:
        if type(value) is not float:
            raise WireError(f"{part}.{name}", _show(value), "a float")
        return _float32(value, part, name)

    def write(value: Any, part: str) -> bytes:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise WireError(f"{part}.{name}", _show(value), "a number")
        return key + real_item(_float32(value, part, name))

    return read, write


def _member(enum: type[IntEnum], name: str, key: bytes) -> tuple[_Read, _Write]:
    members = {member.value: member for member in enum}
    written = {member: key + head(UINT, member) for member in enum}

    def read(value: Any, part: str) -> IntEnum:
        member = members.get(value) if type(value) is int else None
        if member is None:
            names = ", ".join(f"{member.value} {member.name}" for member in enum)
            raise WireError(f"{part}.{name}", _show(value), names)
        return member

    def write(value: Any, part: str) -> bytes:
        return written[value if type(value) is enum else read(value, part)]

    return read, write


def _uint(spec: Spec, name: str, key: bytes) -> tuple[_Read, _Write]:
    least, most = spec.least, spec.most

    def read(value: Any, part: str) -> int:
        if type(value) is int and least <= value <= most:
            return value
        raise WireError(f"{part}.{name}", _show(value), f"an integer from {least} to {most}")

    def write(value: Any, part: str) -> bytes:
        return key + head(UINT, read(value, part))

    return read, write


def _string(spec: Spec, name: str, key: bytes) -> tuple[_Read, _Write]:
    kind, major, size, unit = _STRINGS[spec.kind]
    least, most = spec.least, spec.most

    def read(value: Any, part: str) -> Any:
        if type(value) is kind and least <= size(value) <= most:
            return value
        raise WireError(f"{part}.{name}", _show(value), f"{unit} {least} to {most}")

    def write(value: Any, part: str) -> bytes:
        read(value, part)
        octets: bytes = value if major == BYTES else value.encode()
        return key + head(major, len(octets)) + octets

    return read, write


def _utf8_length(value: str) -> int:
    # surrogates cannot travel as UTF-8: -1 lies outside every bound
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return -1


_STRINGS: dict[str, tuple[type[Any], int, Callable[[Any], int], str]] = {
    "text": (str, TEXT, _utf8_length, "text, in bytes of UTF-8"),
    "blob": (bytes, BYTES, len, "a byte string, in bytes"),
}


def _float32(value: float, part: str, name: str) -> float:
    try:
        rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except (OverflowError, struct.error):  # beyond float32; an int beyond a double
        rounded = math.inf
    if not math.isfinite(rounded):
        raise WireError(f"{part}.{name}", _show(value), "a finite float32")
    return rounded


def _nested(spec: Spec) -> type[Any]:
    assert spec.of is not None
    return spec.of


def _instance(value: Any, of: type[Any], where: str) -> Any:
    if type(value) is not of:
        raise WireError(where, _show(value), f"a {of.__name__}")
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
    if isinstance(value, int) and value.bit_length() > 64:  # the longest have no repr
        return f"an integer of {value.bit_length()} bits"
    return repr(value)[:48]


_PLANS = _plans(*TYPES.values())
