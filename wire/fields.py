"""Field kinds for message dataclasses: the key on the wire and what values are allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from enum import IntEnum
from typing import Any

UINT32 = 2**32 - 1
Derived = tuple[str, Callable[[Any], Any]]  # that field's name, and what its value makes


@dataclass(frozen=True, slots=True)
class Spec:
    """What the wire allows in one field: its key, its type and its bounds."""

    key: int
    kind: str  # uint | real | text | blob | record | many
    least: int = 0
    most: int = UINT32
    enum: type[IntEnum] | None = None
    of: type[Any] | None = None  # record, many: the nested dataclass
    derived: Derived | None = None  # the default, from another field


def _field(spec: Spec, default: Any) -> Any:
    return field(default=default, metadata={"wire": spec})


def uint(
    key: int,
    *,
    least: int = 0,
    most: int = UINT32,
    enum: type[IntEnum] | None = None,
    default: Any = MISSING,
) -> Any:
    """An unsigned integer between `least` and `most`, or a member of `enum`."""
    return _field(Spec(key, "uint", least, most, enum=enum), default)


def real(key: int, *, default: Any = MISSING) -> Any:
    """A finite number, carried as float32."""
    return _field(Spec(key, "real"), default)


def text(key: int, *, most: int, default: Any = MISSING) -> Any:
    """UTF-8 text of at most `most` bytes."""
    return _field(Spec(key, "text", 0, most), default)


def blob(key: int, *, least: int = 0, most: int, default: Any = MISSING) -> Any:
    """A byte string of `least` to `most` bytes."""
    return _field(Spec(key, "blob", least, most), default)


def record(key: int, of: type[Any], *, derived: Derived | None = None) -> Any:
    """A nested message part: a map of its own keys, without a type.

    `derived` works out what it is when absent, from another field's value, or gives MISSING:
    then it is required.
    """
    return _field(Spec(key, "record", of=of, derived=derived), MISSING)


def many(key: int, of: type[Any], *, most: int) -> Any:
    """An array of at most `most` nested parts."""
    return _field(Spec(key, "many", 0, most, of=of), MISSING)


def spec_of(f: Field[Any]) -> Spec:
    """The Spec that a message field was declared with."""
    spec = f.metadata["wire"]
    assert isinstance(spec, Spec)
    return spec
