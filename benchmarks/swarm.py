"""Bar 2.4: no update lost or counted twice, in fair weather and foul.

200 devices teach a small digits model for 20 rounds through Mosquitto, with
the three parts as processes of their own.  In foul weather a fifth of the
devices vanish at a random point of every round, the aggregator is killed with
SIGKILL once, and the broker is restarted once.  Both sides count: the
aggregator by what it applied, each device by the verdicts it received.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aggregator.errors import NoRunError
from aggregator.records import read_record
from benchmarks.bars import Bar, Outcome, Row
from cli.output import Output
from cli.parts import Part, Parts
from cli.shares import device_id
from mqtt_broker.broker import start
from mqtt_broker.running import RunningBroker
from mqtt_broker.settings import BrokerSettings

DEVICES = 200
ROUNDS = 20
MODEL = Path(__file__).parent.parent / "tflite_models" / "digits" / "model.tflite"
PATIENCE = 600.0  # seconds
EXPERIMENT = f"""\
name = "swarm"
[data]
partition = "iid"
clients = {DEVICES}
[federated]
rounds = {ROUNDS}
deadline = 120.0
quorum = 1.0
[fleet]
dropout = {{dropout}}
away = 1.0
"""


def measure(out: Output) -> Outcome:
    """Run both weathers."""
    fair = _run(out, foul=False)
    foul = _run(out, foul=True)
    expected = DEVICES * ROUNDS
    clean = all(
        row["applied"] == row["heard"] == expected and row["disagreements"] == row["twice"] == 0
        for row in (fair, foul)
    )
    value = "; ".join(
        f"{r['weather']}: {r['applied']} applied, {r['heard']} heard of, "
        f"{r['disagreements']} disagreements, {r['twice']} twice"
        for r in (fair, foul)
    )
    claim = "every update applied once, and both sides agree"
    return Outcome([fair, foul], [Bar("2.4", claim, value, f"{expected}, {expected}, 0, 0", clean)])


def _run(out: Output, *, foul: bool) -> Row:
    with tempfile.TemporaryDirectory(prefix="microfed-swarm-") as folder:
        run = Path(folder)
        config = run / "experiment.toml"
        config.write_text(EXPERIMENT.format(dropout=0.2 if foul else 0.0), encoding="utf-8")
        started = time.monotonic()
        with start(BrokerSettings(kind="mosquitto"), run / "broker") as broker, Parts() as parts:
            _teach(run, config, broker, parts, foul=foul)
        row: Row = {"weather": "foul" if foul else "fair", "devices": DEVICES, "rounds": ROUNDS}
        row |= _count(run) | {"seconds": round(time.monotonic() - started, 1)}
    out.line(str(row))
    return row


def _teach(run: Path, config: Path, broker: RunningBroker, parts: Parts, *, foul: bool) -> None:
    common = [str(config), "--broker", str(broker.endpoint)]
    aggregate = ["aggregate", *common, "--out", str(run), "--model", str(MODEL)]
    aggregator = parts.start("aggregator", aggregate, run / "aggregator-1.err")
    half = DEVICES // 2
    fleets = []
    for first in (0, half):
        share = ["--first", str(first), "--count", str(half)]
        tally = ["--out", str(run / f"fleet-{first}.json")]
        log = run / f"devices-{first}.log"
        fleets.append(parts.start("devices", ["devices", *common, *share, *tally], log))
    if foul:
        _wait_for_round(run, ROUNDS // 3, aggregator)
        os.kill(aggregator.process.pid, signal.SIGKILL)
        aggregator.process.wait()
        aggregator = parts.start("aggregator", aggregate, run / "aggregator-2.err")
        _wait_for_round(run, 2 * ROUNDS // 3, aggregator)
        broker.restart()
    for part in (aggregator, *fleets):
        part.result(PATIENCE)


def _wait_for_round(run: Path, number: int, aggregator: Part) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not aggregator.failed:
        try:
            if read_record(run).rounds[-1].number >= number:
                return
        except (NoRunError, IndexError):
            pass  # it has not begun
        time.sleep(0.05)
    aggregator.stop()
    aggregator.result()


def _count(run: Path) -> Row:
    """Hold the aggregator's books against the devices' own: (device, round) by (device, round)."""
    with sqlite3.connect(run / "state.sqlite") as db:
        applied = Counter(db.execute("SELECT device, round FROM answers WHERE reason = 0"))
    tallies = _tallies(run)
    heard = Counter(
        (device, number) for device, tally in tallies.items() for number, _ in tally["accepted"]
    )
    twice = sum(count - 1 for books in (applied, heard) for count in books.values())
    assert set(tallies) == {device_id(index) for index in range(DEVICES)}
    return {
        "applied": len(applied),
        "heard": len(heard),
        "disagreements": len(applied.keys() ^ heard.keys()),
        "twice": twice,
        "dropouts": sum(tally["dropouts"] for tally in tallies.values()),
        "sessions": sum(tally["sessions"] for tally in tallies.values()),
        "refusals": dict(read_record(run).refusals),
    }


def _tallies(run: Path) -> dict[str, Any]:
    """What each device counted: its id → the JSON of device_sim.tally.DeviceTally."""
    tallies: dict[str, Any] = {}
    for path in sorted(run.glob("fleet-*.json")):
        tallies |= json.loads(path.read_text(encoding="utf-8"))["devices"]
    return tallies
