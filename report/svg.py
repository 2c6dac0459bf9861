"""From a matplotlib figure to SVG that belongs to a page.

The figure is drawn in stand-in colours that become CSS variables, so that one
drawing is right in light, in dark and on paper; its text stays text, in the
page's own font.  The same figure gives the same bytes: no date, fixed ids.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Stand-in colours: what the figure is drawn in -> the page's CSS variable.
INK, SOFT, RULE = "#010101", "#020202", "#030303"
FIRST, SECOND, THIRD = "#040404", "#050505", "#060606"
PALETTE = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    RULE: "var(--rule)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
}

Color = str | tuple[float, float, float, float]

WIDTH = 420  # of every chart, in CSS pixels before the page scales it
MAX_LABEL = 24  # characters

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "microfed",
    "text.parse_math": False,  # a class may be called "$x_1$"
    "font.family": "DejaVu Sans",  # comes with matplotlib: measures alike on every machine
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": RULE,
    "xtick.labelcolor": SOFT,
    "ytick.color": SOFT,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and the words that stand for it where it cannot be seen."""

    id: str
    title: str
    description: str
    svg: str


@contextmanager
def drawing(height: float) -> Iterator[Figure]:
    """A figure of WIDTH x `height` CSS pixels in the report's style, whatever the user's is."""
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # Text is set by the browser: that matplotlib's own font lacks a glyph is no matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        yield figure


def plot_area(
    figure: Figure,
    *,
    left: float = 44,
    right: float = 12,
    top: float = 10,
    bottom: float = 38,
) -> Axes:
    """Axes inside margins given in pixels: no layout depends on a font being installed."""
    width, height = figure.get_size_inches() * 72
    inside = ((width - left - right) / width, (height - top - bottom) / height)
    return figure.add_axes((left / width, bottom / height, *inside))


def note(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    color: Color,
    *,
    coords: Any = "data",
    ha: Literal["left", "right"] = "left",
    va: Literal["baseline", "bottom", "center", "top"] = "baseline",
) -> None:
    """Write `text` beside the point `at`, moved by `offset` pixels."""
    ax.annotate(
        text,
        at,
        xycoords=coords,
        xytext=offset,
        textcoords="offset points",
        ha=ha,
        va=va,
        color=color,
    )


def label(name: str) -> str:
    """A name as it may stand in a drawing: printable and no longer than MAX_LABEL."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return clean if len(clean) <= MAX_LABEL else clean[: MAX_LABEL - 1] + "…"


def finish(figure: Figure, name: str, title: str, description: str) -> Chart:
    """Draw `figure`; call it inside its `drawing` block."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return Chart(name, title, description, _inline(buffer.getvalue(), name, title, description))


def _inline(document: str, name: str, title: str, description: str) -> str:
    body = document[document.index("<svg") : document.rindex("</svg>")]
    body = body[body.index(">") + 1 :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", body, flags=re.DOTALL
    )
    body = re.sub(r"<[^>]+>", lambda tag: _adopt(tag[0], name), body)
    body = re.sub(r"\n\s*", "\n", body).strip()
    view = document[document.index("viewBox") :].split('"')[1]
    return (
        f'<svg class="{name}" role="img" viewBox="{view}"'
        f' aria-labelledby="{name}-title {name}-desc">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-desc">{escape(description)}</desc>\n{body}\n</svg>'
    )


def _adopt(tag: str, name: str) -> str:
    """Fit one tag of matplotlib's to the page; the text between tags is left alone."""
    tag = re.sub(r' id="(?![mp][0-9a-f]{10}")[^"]*"', "", tag)  # only those that are referred to
    tag = tag.replace("xlink:href", "href")
    tag = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r' transform="rotate\(-?0 [^"]*"', "", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", tag)  # a hundredth of a pixel
    for drawn, variable in PALETTE.items():
        tag = tag.replace(drawn, variable)
    return " ".join(tag.split())
