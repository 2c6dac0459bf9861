"""`microfed bench fleet`: the core, fleets of many devices, and the simulators beside us."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import core, inference, simulators
from benchmarks.bars import Bar, Outcome, Row, measure_chosen
from benchmarks.command import microfed
from benchmarks.fleet_part import Plan
from benchmarks.fleet_plot import draw
from benchmarks.fleet_run import best, play
from benchmarks.plots import save
from benchmarks.softmax import model
from cli.output import Output

ROOT = Path(__file__).parent.parent
TURNS = 3
GIGABYTE = 2**30


def thousand(out: Output) -> Outcome:
    """Bar 3.2: 1,000 clients, 10 a round, 100 rounds; through Mosquitto in both ways."""
    rows = {
        transport: best(Plan(1000, 10, 100, transport, ""), TURNS, out)
        for transport in ("memory", "gateway", "mqtt")
    }
    assert len({row["model"] for row in rows.values()}) == 1, "transports must not differ"
    memory, gateway = rows["memory"], rows["gateway"]
    value = f"{memory['seconds']} s in memory, {gateway['seconds']} s through Mosquitto"
    ok = _complete(memory) and memory["seconds"] <= 0.3
    ok = ok and _complete(gateway) and gateway["seconds"] <= 1.4
    claim = "1,000 updates of 10 a round; through Mosquitto from 10 gateways"
    bar = Bar("3.2", claim, value, "≤ 0.3 s, ≤ 1.4 s", ok)
    return Outcome([*rows.values(), *simulators.measure(1000, 10, 100, out)], [bar])


def ten_thousand(out: Output) -> Outcome:
    """Bar 3.3: 10,000 clients, 100 a round, 10 rounds, through Mosquitto from 100 gateways."""
    row = best(Plan(10_000, 100, 10, "gateway", ""), TURNS, out)
    ok = _complete(row) and row["seconds"] < 3.0
    claim = "10,000 clients, 100 a round, 10 rounds, through Mosquitto from 100 gateways"
    bar = Bar("3.3", claim, f"{row['seconds']} s", "< 3 s", ok)
    return Outcome([row, *simulators.measure(10_000, 100, 10, out)], [bar])


def many(out: Output) -> Outcome:
    """Bar 3.5: a connection for each of 100, 1,000 and 10,000 devices, a twentieth a round."""
    rows = []
    for clients in (100, 1000, 10_000):
        row = play(Plan(clients, clients // 20, 10, "mqtt", ""))
        row["seconds_a_round"] = row["seconds"] / row["rounds"]
        out.line(str(row))
        rows.append(row)
    plot = save(draw(rows), "bench-fleet")
    last = rows[-1]
    lost = last["expected"] - last["heard"]
    each, most = last["bytes_per_device"], 2 * len(model()) + 4096
    value = f"{last['memory'] / GIGABYTE:.2f} GB, {each:,} B a device, {lost} updates lost"
    ok = last["memory"] < 4 * GIGABYTE and each <= most and _complete(last)
    claim = "10,000 devices on one Mosquitto, 10 rounds of 500"
    bar = Bar("3.5", claim, value, f"< 4 GB, ≤ {most:,} B, 0", ok)
    return Outcome([*rows, {"plot": str(plot)}], [bar])


def examples(out: Output) -> Outcome:
    """Bar 3.6: whole experiments, by the clock of whoever waits for them."""
    har = _whole("examples/har.toml", "--model", "tflite_models/har/model.tflite")
    demo = _whole("examples/digits.toml")
    rows: list[Row] = [
        {"experiment": "har", "seconds": round(har, 1)},
        {"experiment": "demo", "seconds": round(demo, 1)},
    ]
    out.line(str(rows))
    claim = "examples/har.toml in full from its released model; make demo's run"
    ok = har < 60 and demo < 90
    return Outcome(rows, [Bar("3.6", claim, f"{har:.1f} s, {demo:.1f} s", "< 60 s, < 90 s", ok)])


def _whole(*arguments: str) -> float:
    paths = [str(ROOT / text) if "/" in text else text for text in arguments]
    with tempfile.TemporaryDirectory(prefix="microfed-bench-") as folder:
        began = time.monotonic()
        microfed("run", *paths, "--out", folder)
        return time.monotonic() - began


def _complete(row: Row) -> bool:
    """Every update that was asked for was taken, and its device heard of it."""
    return bool(row["updates"] == row["heard"] == row["expected"])


MEASUREMENTS: dict[str, Callable[[Output], Outcome]] = {
    "3.1 3.4": lambda _: core.core_bars(),
    "3.2": thousand,
    "3.3": ten_thousand,
    "3.5": many,
    "3.6": examples,
    "3.7": lambda _: inference.int8_bars(),
}


def run(only: Sequence[str], out: Output) -> Outcome:
    """Measure the bars named in `only`, or all."""
    return measure_chosen(MEASUREMENTS, only, out)
