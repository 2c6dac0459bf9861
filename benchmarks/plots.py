"""Where plots go: to runs/, beside what runs leave."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

PLOTS = Path("runs")


def save(figure: Figure, name: str) -> Path:
    """Write runs/<name>.svg, the same bytes for the same figure; where it is."""
    PLOTS.mkdir(exist_ok=True)
    path = PLOTS / f"{name}.svg"
    with mpl.rc_context({"svg.hashsalt": "microfed", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path
