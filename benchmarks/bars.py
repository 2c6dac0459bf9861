"""The nouns of a benchmark: a row of measurements, a bar that they must clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """One promise: what was measured, what was promised, and whether it holds."""

    number: str
    claim: str
    value: Any
    target: str
    ok: bool


@dataclass(frozen=True)
class Outcome:
    """What one measurement gives."""

    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.rows + other.rows, self.bars + other.bars)
