"""RAM and accuracy against what of a network is trained."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.bars import Row

KB = 1024


def draw(rows: Sequence[Row], start: float) -> Figure:
    """Of rows that have trains, ram (bytes) and accuracy; `start` is where all begin."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["ram"] / KB for row in rows], [100 * row["accuracy"] for row in rows], "o")
    for row in rows:
        at = (row["ram"] / KB, 100 * row["accuracy"])
        axes.annotate(row["trains"], at, xytext=(5, 5), textcoords="offset points")
    axes.axhline(100 * start, linestyle=":", label="before the first round")
    axes.set_xlim(0, 1.15 * max(row["ram"] for row in rows) / KB)
    axes.margins(y=0.12)
    axes.set_xlabel("RAM of training on a Cortex-M4F, KB")
    axes.set_ylabel("accuracy, %")
    axes.legend(loc="lower right")
    axes.grid(visible=True, alpha=0.3)
    return figure
