"""`microfed bench slice`: the main job, end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from benchmarks import builds, hostile, learning, rivals, start, swarm
from benchmarks.bars import Outcome
from cli.output import Output

MEASUREMENTS: dict[str, Callable[[Output], Outcome]] = {
    "2.1": learning.digits,
    "2.2": learning.har,
    "2.3": builds.measure,
    "2.4": swarm.measure,
    "2.5": hostile.measure,
    "2.6": rivals.measure,
    "start": start.measure,
}


def run(only: Sequence[str], out: Output) -> Outcome:
    """Measure the bars named in `only`, or all."""
    for number in only:
        if number not in MEASUREMENTS:
            raise click.BadParameter(f"{number}: choose from {', '.join(MEASUREMENTS)}")
    outcome = Outcome()
    for number, measure in MEASUREMENTS.items():
        if not only or number in only:
            out.line(f"-- {number}")
            outcome += measure(out)
    return outcome
