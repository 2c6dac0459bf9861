"""How unlike the devices' data are: a heat map of devices and classes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from report import words
from report.record import DeviceRow, RunRecord
from report.svg import FIRST, SOFT, THIRD, WIDTH, Chart, drawing, finish, label, note, plot_area
from report.thin import thin

COLUMNS = 48  # devices that one drawing holds
NAMED = 24  # devices that can still be named under their column
MAP = 190  # pixels that the rows share, between ROWS each
ROWS = (15, 28)
BARS = 44  # pixels of the sample bars above the map


def skew(record: RunRecord) -> Chart:
    """Columns are devices, most samples first; a cell is the class's share of the device's data."""
    devices = thin(by_samples(record.devices), COLUMNS)
    names = [label(name) for name in record.classes]
    row = min(max(MAP / len(names), ROWS[0]), ROWS[1])
    left = min(max(56.0, 14 + 6.7 * max(len(name) for name in names)), WIDTH * 0.42)
    longest = max(len(label(d.id)) for d in devices)
    bottom = 22 + (6 * longest if len(devices) <= NAMED else 0)
    height = bottom + row * len(names) + BARS + 20
    with drawing(height) as figure:
        cells = plot_area(figure, left=left, bottom=bottom, top=BARS + 20)
        bars = plot_area(figure, left=left, bottom=bottom + row * len(names) + 4, top=16)
        _cells(cells, devices, names)
        _bars(bars, devices)
        return finish(figure, "skew", "Whose data is what", _in_words(record, len(devices)))


def by_samples(devices: Sequence[DeviceRow]) -> list[DeviceRow]:
    """Most samples first; equals by id."""
    return sorted(devices, key=lambda d: (-d.samples, d.id))


def _cells(ax: Axes, devices: Sequence[DeviceRow], names: Sequence[str]) -> None:
    squares, shades = [], []
    for x, device in enumerate(devices):
        for y, count in enumerate(device.labels):
            if count:
                share = count / max(1, sum(device.labels))
                squares.append(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92))
                shades.append(to_rgba(FIRST, round(0.1 + 0.9 * share, 2)))
    ax.add_collection(PatchCollection(squares, facecolors=shades, linewidths=0))
    ax.set_xlim(-0.5, len(devices) - 0.5)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.set_yticks(range(len(names)), names)
    ax.set_xticks([])
    if len(devices) <= NAMED:
        ids = [label(d.id) for d in devices]
        ax.set_xticks(range(len(devices)), ids, rotation=90, fontsize=9)
        ax.tick_params(axis="x", length=0)


def _bars(ax: Axes, devices: Sequence[DeviceRow]) -> None:
    most = max(1, *(d.samples for d in devices))
    edges = [e for x in range(len(devices)) for e in (x - 0.46, x + 0.46)]
    heights = [h for d in devices for h in (d.samples, 0)]
    ax.stairs(heights, [*edges, edges[-1]], fill=True, color=THIRD, linewidth=0)
    ax.set_xlim(-0.5, len(devices) - 0.5)
    ax.set_ylim(0, most)
    ax.set_axis_off()
    note(ax, "samples", (0, 0), (-4, 2), SOFT, coords="axes fraction", ha="right")
    note(ax, f"{most:,}", (0, 1), (2, 3), SOFT, coords="axes fraction")


def _in_words(record: RunRecord, drawn: int) -> str:
    samples = [d.samples for d in record.devices]
    held = [sum(1 for n in d.labels if n) for d in record.devices]
    text = (
        f"{words.plural(len(samples), 'device')} with {min(samples):,} to {max(samples):,} "
        f"samples and {min(held)} to {max(held)} of {len(record.classes)} classes each."
    )
    return text if drawn == len(samples) else f"{text} {drawn} of them are drawn."
