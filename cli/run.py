"""`microfed run`: broker, aggregator and fleet together, and a report at the end."""

from __future__ import annotations

import os
import shutil
import signal
import time
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from cli.build import build_model
from cli.config import ConfigError, Experiment, load
from cli.exits import Exit, RunError
from cli.options import set_option
from cli.output import Output, percent, reports_errors, size
from cli.parts import Part, Parts
from cli.shares import check_model, shares_of
from datasets.errors import DataError
from mqtt_client.endpoint import Endpoint

POLL = 0.2
LOOK = 5.0  # seconds between looks at the broker
FAREWELL = 20.0  # seconds that devices have to leave once the run is finished


@click.command(
    epilog="Examples: microfed run examples/digits.toml\n\n"
    "          microfed run examples/har.toml --model tflite_models/har/model.tflite\n\n"
    "          microfed run --resume runs/digits-20260101-120000"
)
@click.argument(
    "config", type=click.Path(dir_okay=False, path_type=Path), metavar="CONFIG", required=False
)
@set_option
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Start from this int8 .tflite; otherwise one is built first.",
)
@click.option(
    "--resume",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Go on with this run, killed or stopped, from where it was.",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run's folder.  [default: runs/NAME-TIME]",
)
@reports_errors
def command(
    config: Path | None,
    overrides: tuple[str, ...],
    model: Path | None,
    resume: Path | None,
    folder: Path | None,
    out: Output,
) -> None:
    """Run a whole experiment: a broker, an aggregator, and an MQTT connection per device."""
    if resume is not None:
        if config or model or folder or overrides:
            raise click.UsageError("--resume takes everything from the run: name nothing else")
        if not (resume / "base.tflite").exists():
            raise RunError(f"{resume}: holds no run to go on with (no base.tflite): start anew")
        config, run = resume / "config.toml", resume
    elif config is None:
        raise click.UsageError("name a CONFIG, or a run to --resume")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the parts, as on Ctrl-C
    experiment = load(config, overrides)
    if resume is None:
        run = folder or Path("runs") / f"{experiment.name}-{datetime.now():%Y%m%d-%H%M%S}"
        if (run / "state.sqlite").exists():
            raise ConfigError(f"--out {run}: holds a run already; go on with it by --resume {run}")
        if model is not None:
            check_model(model, shares_of(experiment))
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.toml").write_text(experiment.to_toml(), encoding="utf-8")
        _start_from(model, experiment, run, out)
    seconds = teach(experiment, run, out)
    out.result(conclude(run, seconds, out))


def _start_from(model: Path | None, experiment: Experiment, run: Path, out: Output) -> None:
    if model is None:
        build_model(experiment, run / "build", out)
        model = run / "build" / "model.tflite"
    file, card = model.read_bytes(), model.with_name("card.json")
    if card.exists() and sha256(file).hexdigest() in card.read_text(encoding="utf-8"):
        shutil.copyfile(card, run / "card.json")  # it is this model's, not a neighbour's
    shutil.copyfile(model, run / "base.tflite")


def teach(experiment: Experiment, run: Path, out: Output) -> float:
    """Run the three parts until the aggregator has finished; return the seconds it took."""
    from mqtt_broker.broker import start

    count = len(shares_of(experiment).devices)
    if count == 0:
        raise DataError("the experiment has no devices: lower data.factory, or raise data.clients")
    processes = experiment.fleet.processes or min(2, os.cpu_count() or 1)
    share = -(-count // processes)
    started = time.monotonic()
    with start(experiment.broker, run / "broker") as broker, Parts() as parts:
        url = str(broker.endpoint)
        out.line(f"{broker.kind} on {url}, {count} devices in {processes} processes, {run}")
        common = [str(run / "config.toml"), "--broker", url]
        aggregator = parts.start("aggregator", ["aggregate", *common, "--out", str(run)])
        fleets = []
        for first in range(0, count, share):
            which = ["--first", str(first), "--count", str(share)]
            tally = ["--out", str(run / f"fleet-{first}.json")]
            log = run / f"devices-{first}.log"
            fleets.append(parts.start("devices", ["devices", *common, *which, *tally], log))
        _wait(aggregator, fleets, broker.endpoint)
    return time.monotonic() - started


def _wait(aggregator: Part, fleets: list[Part], broker: Endpoint) -> None:
    from mqtt_broker.running import accepts

    looked = time.monotonic()
    while aggregator.process.poll() is None:
        for fleet in fleets:
            if fleet.failed:
                fleet.result()
        if time.monotonic() - looked > LOOK and not accepts(broker.host, broker.port):
            raise RunError(f"the broker at {broker} is gone", Exit.BROKER)
        if time.monotonic() - looked > LOOK:
            looked = time.monotonic()
        time.sleep(POLL)
    aggregator.result()
    leave_by = time.monotonic() + FAREWELL
    while time.monotonic() < leave_by and any(f.process.poll() is None for f in fleets):
        time.sleep(POLL)  # a device that is away just now hears of the end when it is back


def conclude(run: Path, seconds: float, out: Output) -> dict[str, Any]:
    """Write the report, show the table, and return what --json says of the run."""
    from cli.record import record_of
    from report.render import write

    record = record_of(run)
    write(record, run / "report.html")
    totals = record.totals
    out.table(
        (record.name, "start", "end", "best", "central", "up", "down", "up as float32"),
        [
            (
                f"{record.updates} updates in {len(record.rounds)} rounds",
                percent(record.accuracy_start),
                percent(record.accuracy_end),
                percent(record.accuracy_best),
                percent(record.accuracy_central),
                size(totals.bytes_up),
                size(totals.bytes_down),
                size(totals.bytes_up_float32),
            )
        ],
    )
    out.line(f"model   {run / 'model.tflite'}")
    out.line(f"report  {run / 'report.html'}")
    return {
        "accuracy_int8_start": record.accuracy_start,
        "accuracy_int8_end": record.accuracy_end,
        "accuracy_int8_best": record.accuracy_best,
        "accuracy_central": record.accuracy_central,
        "rounds": len(record.rounds) - record.abandoned,
        "updates": record.updates,
        "bytes_up": totals.bytes_up,
        "bytes_down": totals.bytes_down,
        "bytes_up_float32": totals.bytes_up_float32,
        "seconds": round(seconds, 3),
        "model": str(run / "model.tflite"),
        "run": str(run),
    }
