"""Fewer rows where there are too many to draw or to list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def thin(rows: Sequence[T], most: int) -> Sequence[T]:
    """At most `most` (two or more) of the rows, evenly picked, the first and last among them."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]
