"""Seconds a round and memory against the number of devices."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.bars import Row

SERIES = (("seconds a round", "seconds_a_round", 1.0), ("memory, GB", "memory", 2.0**30))


def draw(rows: Sequence[Row]) -> Figure:
    """Of rows that have clients, seconds_a_round and memory."""
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    for axes, (title, key, unit) in zip(figure.subplots(1, 2), SERIES, strict=True):
        axes.loglog([row["clients"] for row in rows], [row[key] / unit for row in rows], "o-")
        axes.set_title(title)
        axes.set_xlabel("devices, a connection each; a twentieth takes part")
        axes.grid(visible=True, which="major", alpha=0.3)
    return figure
