"""Everything that is known of a run, gathered from its folder for the report and for --json."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.errors import NoRunError
from aggregator.records import RunRecord as Books
from aggregator.records import read_record
from cli.config import Experiment, load
from cli.folder import BASE, CARD, CONFIG, NODES
from cli.shares import Shares, shares_of
from datasets.errors import DataError
from device_sim.energy import Costs, Work
from report.record import (
    BuildStage,
    DeviceRow,
    EnergySpent,
    ModelFacts,
    NodeFacts,
    RoundPoint,
    RunRecord,
    Totals,
)
from tflite_models.inspect import Summary, summarize

FLOAT32_BYTES = 4
STAGE = ("name", "accuracy", "sparsity", "bytes", "bytes_gzip")
PACKAGES = ("microfed", "numpy", "paho-mqtt", "ai-edge-litert", "tensorflow")


def record_of(run: Path) -> RunRecord:
    """Read a run's folder; NoRunError or ConfigError when it is not one."""
    books = read_record(run)
    if not books.rounds:
        raise NoRunError(
            run, "it failed before its model was evaluated, so there is nothing to tell"
        )
    model = run / "model.tflite"
    if not model.exists():
        raise NoRunError(model, "there is no such file")
    experiment = load(run / CONFIG)
    card = _json(run / CARD)
    summary = summarize(model.read_bytes())
    try:
        shares: Shares | None = shares_of(experiment)
    except DataError:
        shares = None  # a report can be made where the data is not
    updates = sum(r.accepted for r in books.rounds)
    last = books.rounds[-1]
    return RunRecord(
        name=experiment.name,
        started=datetime.fromtimestamp((run / BASE).stat().st_mtime, UTC),
        seconds=sum(r.seconds for r in books.rounds),
        config=experiment.to_toml(),
        accuracy_start=books.rounds[0].accuracy,
        accuracy_end=last.accuracy,
        accuracy_best=books.best.accuracy,
        accuracy_central=card.get("accuracy_central"),
        rounds=_points(books),
        totals=Totals(
            books.totals.bytes_up,
            books.totals.bytes_down,
            updates * summary.parameters * FLOAT32_BYTES,
        ),
        model=_facts(summary),
        versions=_versions(),
        refusals=books.refusals,
        classes=shares.dataset.classes if shares else (),
        devices=_devices(books, shares, _json(run / NODES)) if shares else (),
        stages=tuple(
            BuildStage(*(stage[key] for key in STAGE)) for stage in card.get("stages", ())
        ),
        abandoned=sum(r.abandoned for r in books.rounds),
        energy=_energy(run, experiment),
    )


def _energy(run: Path, experiment: Experiment) -> EnergySpent | None:
    """What the device processes counted since each was last started."""
    tallies = [_json(path) for path in sorted(run.glob("fleet-*.json"))]
    counted = [tally["joules"] for tally in tallies if "joules" in tally]
    if not counted:
        return None
    told = tallies[0]["instructions"]
    work = None if told is None else Work(**told)
    return EnergySpent(
        experiment.fleet.board,
        experiment.fleet.link,
        {name: sum(joules[name] for joules in counted) for name in counted[0] if name != "total"},
        sum(len(tally["devices"]) for tally in tallies),
        Costs.of(experiment.fleet, work).lacking,
        measured=work is not None and work.measured,
    )


def _points(books: Books) -> tuple[RoundPoint, ...]:
    return tuple(
        RoundPoint(
            number=now.number,
            accuracy=now.accuracy,
            loss_before=now.loss_before,
            loss_after=now.loss_after,
            cohort=now.cohort,
            accepted=now.accepted,
            declined=now.declined,
            seconds=now.seconds,
            bytes_up=now.bytes_up - before.bytes_up,
            bytes_down=now.bytes_down - before.bytes_down,
        )
        for before, now in pairwise(books.rounds)
    )


def _facts(summary: Summary) -> ModelFacts:
    return ModelFacts(
        operators=tuple(op.name for op in summary.operators),
        parameters=summary.parameters,
        bytes=summary.flash_bytes,
        sparsity=summary.sparsity,
        peak_ram=summary.peak_ram,
    )


def _devices(books: Books, shares: Shares, nodes: Mapping[str, Any]) -> tuple[DeviceRow, ...]:
    known = {device.device: device for device in books.devices}
    labels = len(shares.dataset.classes)
    rows = []
    for name, client in zip(shares.devices, shares.split.clients, strict=True):
        device = known.get(name)
        rows.append(
            DeviceRow(
                id=name,
                samples=len(client),
                labels=tuple(np.bincount(shares.dataset.y[client], minlength=labels).tolist()),
                accepted=device.accepted if device else 0,
                bytes_up=device.bytes_up if device else 0,
                bytes_down=device.bytes_down if device else 0,
                node=_node(nodes[name]) if name in nodes else None,
            )
        )
    return tuple(rows)


def _node(facts: Mapping[str, Any]) -> NodeFacts:
    return NodeFacts(
        board=facts["board"],
        ram=facts["ram"] + facts["stack"],
        instructions=round(facts["instructions"] / max(facts["trained"], 1)),
        restarts=facts["restarts"],
    )


def _versions() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
