"""C text: initialisers and arrays, in lines that a person would write."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 100
_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "float64": "double",
}


def value(x: Any, indent: int = 0) -> str:
    """An initialiser of a number, a tuple, or a dataclass that has a C struct's fields."""
    if is_dataclass(x) and not isinstance(x, type):
        parts = [f".{f.name} = {value(getattr(x, f.name), indent + 4)}" for f in fields(x)]
    elif isinstance(x, tuple):
        parts = [value(part, indent + 4) for part in x]
    elif isinstance(x, float):
        return f"{float(x).hex()}f"
    else:
        return _number(int(x))
    line = "{" + ", ".join(parts) + "}"
    if "\n" not in line and len(line) + indent < WIDTH - 20:
        return line
    inner, end = " " * (indent + 4), " " * indent
    return "{\n" + "".join(f"{inner}{part},\n" for part in parts) + end + "}"


def struct(members: dict[str, str]) -> str:
    """A designated initialiser of a struct at the left margin."""
    return "{\n" + "".join(f"    .{name} = {text},\n" for name, text in members.items()) + "}"


def array(name: str, values: NDArray[Any], *, comment: str = "") -> str:
    """The definition of a constant array, with a comment above it."""
    numbers = ", ".join(_number(x) for x in np.asarray(values).ravel().tolist())
    above = f"/* {comment} */\n" if comment else ""
    return f"{above}{declaration(name, values)} = {{\n{wrapped(numbers)}}};\n"


def wrapped(numbers: str) -> str:
    """The inside of an initialiser, in indented lines."""
    lines = wrap(numbers, WIDTH - 4, break_long_words=False)
    return "".join(f"    {line}\n" for line in lines)


def declaration(name: str, values: NDArray[Any]) -> str:
    """`const int8_t name[64]`."""
    return f"const {_TYPES[values.dtype.name]} {name}[{values.size}]"


def _number(x: float) -> str:
    if isinstance(x, float):
        return x.hex()
    return "INT32_MIN" if x == -(2**31) else str(x)


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 25 × 5 × 64."""
    return " × ".join(map(str, shape)) or "1"
