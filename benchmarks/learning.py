"""Bars 2.1 and 2.2: a fleet brings a factory model close to central training."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.bars import Bar, Outcome, Row
from benchmarks.command import microfed
from cli.config import load
from cli.output import Output
from cli.shares import shares_of

EXAMPLES = Path(__file__).parent.parent / "examples"


def digits(out: Output) -> Outcome:
    """The demo: 20 devices, Dirichlet 0.5, at most 15 % of the data seen by the factory."""
    row = _learn("digits", out)
    asked = load(EXAMPLES / "digits.toml").prune.sparsity
    gap = row["central"] - row["end"]
    value = (
        f"{100 * gap:+.2f} points, {100 * row['zeros']:.1f} % zeros, "
        f"factory {100 * row['factory_share']:.1f} %, {row['devices']} devices"
    )
    ok = (
        gap <= 0.015
        and row["zeros"] >= asked >= 0.5
        and row["factory_share"] <= 0.15
        and row["devices"] == 20
    )
    target = f"gap ≤ 1.5 points, ≥ {100 * asked:.0f} % zeros, factory ≤ 15 %, 20"
    return Outcome([row], [Bar("2.1", "digits: below central training", value, target, ok)])


def har(out: Output) -> Outcome:
    """People doing things: 3 in the factory, 18 in the fleet, 9 never seen."""
    row = _learn("har", out)
    gap = row["central"] - row["end"]
    value = f"{100 * row['end']:.2f} %, {row['bytes_tflite']:,} B, {100 * gap:+.2f} points"
    ok = row["end"] >= 0.90 and row["bytes_tflite"] < 40_000 and gap <= 0.01
    target = "≥ 90 %, < 40,000 B, gap ≤ 1 point"
    return Outcome([row], [Bar("2.2", "har: accuracy, size, below central", value, target, ok)])


def _learn(name: str, out: Output) -> Row:
    config = EXAMPLES / f"{name}.toml"
    shares = shares_of(load(config))
    training = len(shares.dataset.y) - len(shares.split.test)
    with tempfile.TemporaryDirectory(prefix="microfed-bench-") as folder:
        said = microfed("run", str(config), "--out", folder)
        model = microfed("inspect", said["model"])
    row: Row = {
        "experiment": name,
        "start": said["accuracy_int8_start"],
        "end": said["accuracy_int8_end"],
        "best": said["accuracy_int8_best"],
        "central": said["accuracy_central"],
        "zeros": model["sparsity"],
        "bytes_tflite": model["bytes_flash"],
        "factory_share": len(shares.split.factory) / training,
        "devices": len(shares.devices),
        "bytes_up": said["bytes_up"],
        "bytes_down": said["bytes_down"],
        "bytes_up_float32": said["bytes_up_float32"],
        "seconds": said["seconds"],
    }
    out.line(str(row))
    return row
