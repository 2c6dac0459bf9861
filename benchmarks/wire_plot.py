"""Accuracy against bytes sent, a line for each codec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from benchmarks.wire_rounds import OWN, Contender, Curve

SMOOTH = 5  # rounds


class Line(Protocol):
    """What is drawn of a result."""

    @property
    def contender(self) -> Contender:
        """Whose it is."""

    @property
    def curve(self) -> Curve:
        """The accuracy after each round."""

    @property
    def up(self) -> Curve:
        """The bytes up to it."""


def draw(data: str, lines: Sequence[Line]) -> Figure:
    """Of the results of one data set."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        ours = line.contender.codec in OWN
        kernel = np.ones(SMOOTH) / SMOOTH
        smooth = np.convolve(line.curve, kernel, "valid")
        axes.plot(
            line.up[SMOOTH - 1 :],
            100 * smooth,
            label=line.contender.label,
            linewidth=2.2 if ours else 1.0,
            linestyle="-" if ours else "--",
        )
    axes.set_xscale("log")
    axes.set_xlabel("bytes of updates, all devices (log)")
    axes.set_ylabel(f"accuracy of the int8 file, mean of {SMOOTH} rounds (%)")
    axes.set_title(f"{data}: accuracy against bytes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
