"""What happened round by round, drawn: accuracy, its price in bytes, loss, participation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from report import words
from report.record import RoundPoint, RunRecord
from report.svg import (
    FIRST,
    INK,
    RULE,
    SECOND,
    SOFT,
    Chart,
    Color,
    drawing,
    finish,
    note,
    plot_area,
)
from report.thin import thin

HEIGHT = 250
POINTS = 500  # rounds that one drawing holds
BARS = 60  # rounds that are drawn as bars with gaps; more become one stepped area


def accuracy_by_round(record: RunRecord) -> Chart:
    """Accuracy after every round, from the model as built, against central training."""
    title = "Accuracy, round by round"
    rounds = thin(record.rounds, POINTS)
    numbers = [0, *(r.number for r in rounds)]
    values = [record.accuracy_start, *(r.accuracy for r in rounds)]
    with drawing(HEIGHT) as figure:
        ax = plot_area(figure)
        _reference(ax, record.accuracy_start, f"as built {words.percent(values[0])}", "right")
        if record.accuracy_central is not None:
            central = f"trained centrally {words.percent(record.accuracy_central)}"
            _reference(ax, record.accuracy_central, central, "left")
        ax.plot(numbers, values, color=FIRST, linewidth=_stroke(rounds), zorder=3)
        ax.plot(numbers[-1:], values[-1:], "o", color=FIRST, markersize=5.5, zorder=3)
        _share_axis(ax, values, (record.accuracy_start, record.accuracy_central))
        _round_axis(ax, numbers)
        return finish(figure, "accuracy", title, _accuracy_in_words(record))


def _accuracy_in_words(record: RunRecord) -> str:
    best = max(record.rounds, key=lambda r: r.accuracy)
    text = (
        f"A line from {words.percent(record.accuracy_start)} before round 1 to "
        f"{words.percent(record.accuracy_end)} after round {record.rounds[-1].number}, "
        f"highest at {words.percent(best.accuracy)} after round {best.number}."
    )
    if record.accuracy_central is not None:
        text += f" Central training reaches {words.percent(record.accuracy_central)}."
    return text


def accuracy_by_bytes(record: RunRecord) -> Chart:
    """The same accuracies against the bytes sent up until then, and as raw float32."""
    title = "Accuracy against bytes sent up"
    points = thin(_prices(record), POINTS)
    sent, raw, values = zip(*points, strict=True)
    with drawing(HEIGHT) as figure:
        ax = plot_area(figure)
        ax.set_xscale("log")
        _byte_axis(ax, min(*sent, *raw) / 1.3, max(*sent, *raw) * 1.3)
        _share_axis(ax, values, (record.accuracy_start, record.accuracy_central))
        thick = _stroke(points)
        ax.plot(raw, values, color=SOFT, linewidth=0.65 * thick, linestyle=(0, (4, 2)), zorder=2)
        ax.plot(sent, values, color=FIRST, linewidth=thick, zorder=3)
        for path, name, color in ((sent, "sent", FIRST), (raw, "float32", SOFT)):
            ax.plot(path[-1:], values[-1:], "o", color=color, markersize=5.5, zorder=3)
            _above(ax, path[-1], max(values), f"{name} {words.size(path[-1])}", color)
        text = (
            f"{words.percent(values[-1])} was reached with {words.size(sent[-1])} sent up; "
            f"the same updates as raw float32 are {words.size(raw[-1])}."
        )
        return finish(figure, "price", title, text)


def _prices(record: RunRecord) -> list[tuple[float, float, float]]:
    """(bytes sent up until then, the same as raw float32, accuracy) of every round."""
    # Hellos and what else belongs to no round came first: the curve ends at the run's total.
    outside = max(0, record.totals.bytes_up - sum(r.bytes_up for r in record.rounds))
    each = record.totals.bytes_up_float32 / max(1, record.updates)
    sent = accumulate(r.bytes_up for r in record.rounds)
    counted = accumulate(r.accepted for r in record.rounds)
    return [
        (max(1, outside + up), max(1, n * each), r.accuracy)
        for up, n, r in zip(sent, counted, record.rounds, strict=True)
    ]


def loss(record: RunRecord) -> Chart:
    """Mean loss on the devices' own data, before and after they trained."""
    title = "Loss on the devices, before and after local training"
    rounds = thin(record.rounds, POINTS)
    numbers = [r.number for r in rounds]
    before = [r.loss_before for r in rounds]
    after = [r.loss_after for r in rounds]
    with drawing(HEIGHT) as figure:
        ax = plot_area(figure, right=44)
        ax.fill_between(numbers, before, after, color=FIRST, alpha=0.12, linewidth=0)
        ax.plot(numbers, before, color=SECOND, linewidth=_stroke(rounds))
        ax.plot(numbers, after, color=FIRST, linewidth=_stroke(rounds))
        high = max(*before, *after, 1e-9)
        ax.set_ylim(0, high * 1.08)
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        gap = max(0.0, high * 0.07 - abs(before[-1] - after[-1])) / 2
        up = 1 if before[-1] >= after[-1] else -1
        for y, name, color in (
            (before[-1] + up * gap, "before", SECOND),
            (after[-1] - up * gap, "after", FIRST),
        ):
            note(ax, name, (numbers[-1], y), (7, 0), color, va="center")
        _round_axis(ax, numbers)
        text = (
            f"Before local training from {before[0]:.3g} to {before[-1]:.3g}; "
            f"after it from {after[0]:.3g} to {after[-1]:.3g}."
        )
        return finish(figure, "loss", title, text)


def participation(record: RunRecord) -> Chart:
    """What became of each round's cohort: accepted, declined, silent."""
    # The usual is pale, the unusual stands out, and by lightness as well as by colour.
    layers: tuple[tuple[str, Color, Callable[[RoundPoint], int]], ...] = (
        ("accepted", to_rgba(FIRST, 0.4), lambda r: r.accepted),
        ("declined", SECOND, lambda r: r.declined),
        ("silent", SOFT, lambda r: r.silent),
    )
    totals = [f"{name} {sum(map(count, record.rounds)):,}" for name, _, count in layers]
    rounds = thin(record.rounds, POINTS)
    base = [0] * len(rounds)
    with drawing(HEIGHT) as figure:
        ax = plot_area(figure, top=30)
        ax.grid(visible=False)
        x = 0.0
        for (_, color, count), total in zip(layers, totals, strict=True):
            top = [b + count(r) for b, r in zip(base, rounds, strict=True)]
            _steps(ax, rounds, base, top, color)
            note(ax, "■", (0, 1), (x, 13), color, coords="axes fraction", va="center")
            note(ax, total, (0, 1), (x + 13, 13), INK, coords="axes fraction", va="center")
            x += 34 + 6.3 * len(total)
            base = top
        ax.set_ylim(0, max(*base, 1) * 1.02)
        _whole(ax.yaxis)
        _round_axis(ax, [r.number for r in rounds])
        text = f"Answers over all rounds: {', '.join(totals)}."
        return finish(figure, "cohort", "Who took part", text)


def _steps(
    ax: Axes,
    rounds: Sequence[RoundPoint],
    base: Sequence[int],
    top: Sequence[int],
    color: Color,
) -> None:
    """One path for a whole layer: bars with gaps, or without them where rounds are many."""
    if len(rounds) > BARS:
        edges = [r.number - 0.5 for r in rounds] + [rounds[-1].number + 0.5]
        low, high = list(base), list(top)
    else:
        edges = [e for r in rounds for e in (r.number - 0.38, r.number + 0.38)]
        low = [level for b in base for level in (b, 0)][:-1]
        high = [level for t in top for level in (t, 0)][:-1]
    ax.stairs(high, edges, baseline=low, fill=True, color=color, linewidth=0)


def _reference(ax: Axes, value: float, text: str, side: Literal["left", "right"]) -> None:
    """A dashed level: named above it at the left, or below it at the right."""
    ax.axhline(value, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    coords = ax.get_yaxis_transform()
    if side == "left":
        note(ax, text, (0.01, value), (0, 3), INK, coords=coords, va="bottom")
    else:
        note(ax, text, (0.99, value), (0, -4), INK, coords=coords, ha="right", va="top")


def _above(ax: Axes, x: float, y: float, text: str, color: Color) -> None:
    """Over a curve's end, to its left unless the end is at the left edge."""
    across = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[0]
    if across > 0.3:
        note(ax, text, (x, y), (5, 6), color, ha="right", va="bottom")
    else:
        note(ax, text, (x, y), (-5, 6), color, va="bottom")


def _stroke(points: Sequence[object]) -> float:
    return 2.0 if len(points) <= 150 else 1.2


def _share_axis(ax: Axes, values: Sequence[float], others: Sequence[float | None]) -> None:
    seen = [*values, *(v for v in others if v is not None)]
    low, high = min(seen), max(seen)
    room = max(0.02, high - low) * 0.17
    ax.set_ylim(max(-0.01, low - room), min(1.01, high + room))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.4g}{words.NBSP}%")


def _round_axis(ax: Axes, numbers: Sequence[int]) -> None:
    room = 0.6 if numbers[0] else max(0.3, len(numbers) / 60)
    ax.set_xlim(numbers[0] - room, numbers[-1] + room)
    ax.set_xlabel("round")
    _whole(ax.xaxis)


def _whole(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))


def _byte_axis(ax: Axes, low: float, high: float) -> None:
    ax.set_xlim(low, high)
    ax.set_xlabel("bytes sent up so far (log scale)")
    subs = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(lambda v, _: words.size(v).replace(".0", ""))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(visible=True, axis="x", color=RULE)
