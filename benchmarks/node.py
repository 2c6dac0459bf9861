"""`microfed bench node`: firmware that takes part in rounds, bars 6.1 to 6.7."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import node_bytes, node_hostile, node_training
from benchmarks.bars import Outcome, measure_chosen
from cli.output import Output

MEASUREMENTS = {
    "6.1": node_bytes.same_bytes,
    "6.2": node_bytes.whole_run,
    "6.3": node_training.measure_dense,
    "6.4": node_training.measure_har,
    "6.5": node_bytes.image_size,
    "6.6": node_hostile.measure,
    "6.7": node_bytes.power_cuts,
}


def run(only: Sequence[str], out: Output) -> Outcome:
    """Take the measurements named in `only`, or all."""
    return measure_chosen(MEASUREMENTS, only, out)
