"""Messages as bytes and back: one CBOR map with integer keys each (RFC 8949).

Encoding is deterministic (section 4.2: ascending keys, shortest heads and
floats; defaults are left out).  Decoding takes any definite-length encoding of
the same values and refuses everything else with a WireError.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from enum import IntEnum
from operator import attrgetter
from typing import Any, NamedTuple

from wire.errors import WireError
from wire.fields import Spec, spec_of
from wire.items import ARRAY, BYTES, MAP, TEXT, UINT, head, read_item, real_item
from wire.messages import MAX_BLOCK, TYPES, Message

MAX_PAYLOAD = MAX_BLOCK + 1024
_FLOAT32 = struct.Struct("<f")
_TYPE_FIELD = {cls: head(UINT, 0) + head(UINT, number) for number, cls in TYPES.items()}


class _Field(NamedTuple):
    """One field of a message class, with what reads and writes its values."""

    name: str
    key: int
    key_item: bytes  # the key as CBOR
    default: Any  # or MISSING
    derived: Callable[[Sequence[Any]], Any] | None  # from the values of all fields
    read: Callable[[Any, str], Any]  # from CBOR's types; is given the name of the part around it
    write: Callable[[Any, str], bytes]  # as CBOR


class _Plan(NamedTuple):
    """The fields of a message class, ascending by key; `values` reads all of an instance."""

    fields: tuple[_Field, ...]
    values: Callable[[Any], tuple[Any, ...]]


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
    number = _map(body, "message").get(0, MISSING)
    if type(number) is not int or number not in TYPES:
        raise WireError("message.type (key 0)", _show(number), f"1 to {len(TYPES)}")
    cls = TYPES[number]
    message: Message = _read_part(cls, body, cls.__name__)
    return message


def _map(body: Any, where: str) -> dict[int, Any]:
    if type(body) is not dict:
        raise WireError(where, _show(body), "a map")
    return body


def _read_part(cls: type[Any], body: Any, where: str) -> Any:
    known = body if type(body) is dict else _map(body, where)
    values = []
    missing = False
    for _, key, _, default, _, read, _ in _PLANS[cls].fields:
        if key in known:
            values.append(read(known[key], where))
        else:
            values.append(default)
            missing = missing or default is MISSING
    if missing:
        _derive(cls, values, where)
    return cls(*values)


def _derive(cls: type[Any], values: list[Any], where: str) -> None:
    """Put in what follows from other fields; WireError if something is still missing."""
    plan = _PLANS[cls]
    for index, field in enumerate(plan.fields):
        if values[index] is MISSING and field.derived is not None:
            values[index] = field.derived(values)
        if values[index] is MISSING:
            name = f"{where}.{field.name} (key {field.key})"
            raise WireError(name, "nothing", "a value: it is required")


def _write_part(part: Any, where: str, first: bytes = b"") -> bytes:
    """The map of a part; `first`: a field before the others."""
    plan = _PLANS[type(part)]
    values = plan.values(part)
    items = [first] if first else []
    for value, (_, _, key, default, derived, _, write) in zip(values, plan.fields, strict=True):
        usual = default if derived is None else derived(values)
        if value != usual:
            items.append(key + write(value, where))
    return head(MAP, len(items)) + b"".join(items)


def _plans(*classes: type[Any]) -> dict[type[Any], _Plan]:
    """The plans of message classes and of the parts nested in them."""
    plans: dict[type[Any], _Plan] = {}
    for cls in classes:
        specs = {f.name: spec_of(f) for f in fields(cls)}
        assert list(specs.values()) == sorted(specs.values(), key=lambda spec: spec.key)
        rows = tuple(
            _Field(
                *(f.name, spec.key, head(UINT, spec.key), f.default),
                _deriving(spec, tuple(specs)),
                *_conversions(spec, f.name),
            )
            for f, spec in zip(fields(cls), specs.values(), strict=True)
        )
        plans[cls] = _Plan(rows, attrgetter(*specs))
        plans |= _plans(*(spec.of for spec in specs.values() if spec.of is not None))
    return plans


def _deriving(spec: Spec, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any] | None:
    if spec.derived is None:
        return None
    source, make = spec.derived
    at = names.index(source)
    return lambda values: make(values[at])


# A field is named by the part that it is in and its own name: they are joined only to say
# what is wrong with it.

_Conversions = tuple[Callable[[Any, str], Any], Callable[[Any, str], bytes]]


def _conversions(spec: Spec, name: str) -> _Conversions:
    """What reads and what writes the values of a field."""
    match spec.kind:
        case "record":
            return _record(spec, name)
        case "many":
            return _many(spec, name)
        case "real":
            return _real(name)
    if spec.enum is not None:
        return _member(spec.enum, name)
    return _plain(spec, name)


def _record(spec: Spec, name: str) -> _Conversions:
    of = _nested(spec)

    def read(value: Any, part: str) -> Any:
        return _read_part(of, value, f"{part}.{name}")

    def write(value: Any, part: str) -> bytes:
        where = f"{part}.{name}"
        return _write_part(_instance(value, of, where), where)

    return read, write


def _many(spec: Spec, name: str) -> _Conversions:
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
        return head(ARRAY, len(items)) + b"".join(items)

    return read, write


def _real(name: str) -> _Conversions:
    def read(value: Any, part: str) -> float:
        if type(value) is not float:
            raise WireError(f"{part}.{name}", _show(value), "a float")
        return _float32(value, part, name)

    def write(value: Any, part: str) -> bytes:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WireError(f"{part}.{name}", _show(value), "a number")
        return real_item(_float32(float(value), part, name))

    return read, write


def _member(enum: type[IntEnum], name: str) -> _Conversions:
    members = {member.value: member for member in enum}

    def read(value: Any, part: str) -> IntEnum:
        member = members.get(value) if type(value) is int else None
        if member is None:
            names = ", ".join(f"{member.value} {member.name}" for member in enum)
            raise WireError(f"{part}.{name}", _show(value), names)
        return member

    def write(value: Any, part: str) -> bytes:
        return head(UINT, value if type(value) is enum else read(value, part))

    return read, write


def _plain(spec: Spec, name: str) -> _Conversions:
    """Of a uint, text or blob: on both sides the same, where it fits its spec."""
    kind, measure, unit = _KINDS[spec.kind]
    least, most = spec.least, spec.most

    def read(value: Any, part: str) -> Any:
        if type(value) is kind and least <= (measure(value) if measure else value) <= most:
            return value
        raise WireError(f"{part}.{name}", _show(value), f"{unit} {least} to {most}")

    def write_uint(value: Any, part: str) -> bytes:
        return head(UINT, read(value, part))

    def write_text(value: Any, part: str) -> bytes:
        octets: bytes = read(value, part).encode()
        return head(TEXT, len(octets)) + octets

    def write_blob(value: Any, part: str) -> bytes:
        octets: bytes = read(value, part)
        return head(BYTES, len(octets)) + octets

    return read, {"uint": write_uint, "text": write_text, "blob": write_blob}[spec.kind]


def _utf8_length(value: str) -> int:
    # surrogates cannot travel as UTF-8: -1 lies outside every bound
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return -1


_KINDS: dict[str, tuple[Any, Callable[[Any], int] | None, str]] = {
    "uint": (int, None, "an integer from"),
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
    return repr(value)[:48]


_PLANS = _plans(*TYPES.values())
