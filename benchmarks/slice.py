"""`microfed bench slice`: the main job, end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import builds, hostile, learning, rivals, start, swarm
from benchmarks.bars import Outcome, measure_chosen
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
    return measure_chosen(MEASUREMENTS, only, out)
