"""The page's parts, put into the template.  Imports matplotlib and jinja2: see report.render."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import jinja2

from report import charts, sizes, skew, words
from report.record import RunRecord
from report.svg import Chart
from report.thin import thin

HERE = Path(__file__).parent
ROWS = 200  # of a table, at most: the page stays small however long the run


def page(record: RunRecord) -> str:
    """The whole HTML text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "duration": words.duration,
        "energy": words.energy,
        "grouped": "{:,}".format,
    }
    return environment.get_template("report.html.j2").render(
        run=record,
        headline=words.headline(record),
        figures=words.key_figures(record),
        charts={chart.id: chart for chart in _charts(record)},
        style=(HERE / "report.css").read_text("utf-8"),
        drawn_rounds=min(len(record.rounds), charts.POINTS),
        drawn_devices=min(len(record.devices), skew.COLUMNS),
        rounds=thin(record.rounds, ROWS),
        devices=thin(skew.by_samples(record.devices), ROWS),
        nodes=any(device.node for device in record.devices),
        operators=_runs(record.model.operators),
        refusals=_refusals(record),
        settings=record.config,
        spent_on=words.SPENT_ON,
    )


def _charts(record: RunRecord) -> list[Chart]:
    drawn: list[Chart] = []
    if record.rounds:
        drawn += [charts.accuracy_by_round(record), charts.accuracy_by_bytes(record)]
        drawn += [charts.loss(record), charts.participation(record)]
    if record.classes and any(device.labels for device in record.devices):
        drawn.append(skew.skew(record))
    if record.stages:
        drawn.append(sizes.sizes(record))
    return drawn


def _runs(operators: Sequence[str]) -> list[str]:
    """Neighbours that are alike as one: ["CONV_2D ×2", "MEAN"]."""
    counted = [(name, len(list(group))) for name, group in groupby(operators)]
    return [name if n == 1 else f"{name} ×{n}" for name, n in counted]


def _refusals(record: RunRecord) -> list[tuple[str, int, str]]:
    """(reason, count, what it means), the commonest first."""
    counts = sorted(record.refusals.items(), key=lambda item: (-item[1], item[0]))
    return [
        (name.lower().replace("_", " "), count, words.REASONS.get(name, ""))
        for name, count in counts
        if count
    ]
