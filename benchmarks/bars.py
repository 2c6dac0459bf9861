"""The nouns of a benchmark: a row of measurements, a bar that they must clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from cli.output import Output

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


def measure_chosen(
    measurements: Mapping[str, Callable[[Output], Outcome]], only: Sequence[str], out: Output
) -> Outcome:
    """Take the measurements that have a bar named in `only`, or all.

    A measurement is known by the numbers of its bars, with spaces between them: "4.1 4.2".
    Raises click.BadParameter for an unknown number.
    """
    known = [number for numbers in measurements for number in numbers.split()]
    for number in only:
        if number not in known:
            raise click.BadParameter(f"{number}: choose from {', '.join(known)}")
    outcome = Outcome()
    for numbers, measure in measurements.items():
        if not only or set(numbers.split()) & set(only):
            out.line(f"-- {numbers}")
            outcome += measure(out)
    return outcome
