"""`microfed run`: broker, aggregator and fleet together, and a report at the end."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.records import has_begun
from cli.build import build_model
from cli.conclude import conclude
from cli.config import ConfigError, Experiment, load
from cli.devices import processes_of
from cli.exits import RunError
from cli.folder import BASE, CONFIG, NODES, held, prepare
from cli.options import set_option
from cli.output import Output, reports_errors
from cli.parts import Part, Parts
from cli.shares import check_fleet, check_model, shares_of

if TYPE_CHECKING:
    from mqtt_broker.running import RunningBroker

POLL = 0.2
LOOK = 5.0  # seconds between looks at the broker
ALONE = 30.0  # seconds that the aggregator has to end once no device is left
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
    """Run a whole experiment: a broker, an aggregator, and all devices."""
    if resume is not None:
        if config or model or folder or overrides:
            raise click.UsageError("--resume takes everything from the run: name nothing else")
        config = resume / CONFIG
    elif config is None:
        raise click.UsageError("name a CONFIG, or a run to --resume")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the parts, as on Ctrl-C
    experiment = load(config, overrides)
    shares = shares_of(experiment)
    check_fleet(config, experiment, len(shares.devices))
    if model is not None:
        check_model(model, shares)
    name = f"{experiment.name}-{datetime.now():%Y%m%d-%H%M%S}"
    run = resume or folder or Path("runs") / name
    with held(run):
        if resume is None:
            if has_begun(run):
                raise ConfigError(
                    f"--out {run}: holds a run already; go on with it by --resume {run}"
                )
            if model is None:
                model = Path(build_model(experiment, run / "build", out)["model"])
        prepare(run, experiment, model)
        if experiment.fleet.transport == "memory":
            from cli.alone import teach_alone

            seconds = teach_alone(experiment, shares, run, out)
        else:
            seconds = teach(experiment, len(shares.devices), run, out)
        out.result(conclude(run, seconds, out))


def teach(experiment: Experiment, count: int, run: Path, out: Output) -> float:
    """Run the three parts until the aggregator has finished; return the seconds it took."""
    from mqtt_broker.broker import start

    on_ray = experiment.fleet.engine == "ray"  # then one process hands them to the cluster
    processes = 1 if on_ray else processes_of(experiment)
    nodes = experiment.fleet.qemu
    share = max(-(-(count - nodes) // processes), 1)
    started = time.monotonic()
    with start(experiment.broker, run / "broker") as broker, Parts() as parts:
        url = str(broker.endpoint)
        real = f"{nodes} nodes in QEMU and " if nodes else ""
        out.line(
            f"{broker.kind} on {url}, {real}{count - nodes} devices in {processes} processes, {run}"
        )
        common = [str(run / CONFIG), "--broker", url]
        aggregator = parts.start("aggregator", ["aggregate", *common, "--out", str(run)])
        fleets = []
        if nodes:
            which = ["--count", str(nodes), "--model", str(run / BASE)]
            kept = ["--keep", str(run / "nodes"), "--out", str(run / NODES)]
            fleets.append(parts.start("nodes", ["node", *common, *which, *kept], run / "nodes.log"))
        for first in range(nodes, count, share):
            which = ["--first", str(first), "--count", str(min(share, count - first))]
            tally = ["--out", str(run / f"fleet-{first}.json")]
            keep = ["--keep", str(run / "devices"), "--model", str(run / BASE)]
            log = run / f"devices-{first}.log"
            fleets.append(parts.start("devices", ["devices", *common, *which, *tally, *keep], log))
        _wait(aggregator, fleets, broker)
    return time.monotonic() - started


def _wait(aggregator: Part, fleets: list[Part], broker: RunningBroker) -> None:
    """Wait for the end of all; RunError or BrokerError when it cannot come any more."""
    looked = deserted = time.monotonic()
    while aggregator.process.poll() is None:
        now = time.monotonic()
        for fleet in fleets:
            if fleet.failed:
                fleet.result()
        if any(fleet.process.poll() is None for fleet in fleets):
            deserted = now
        elif now - deserted > ALONE:
            raise RunError("all devices have left, and the aggregator still waits for them")
        if now - looked > LOOK:
            broker.check()
            looked = now
        time.sleep(POLL)
    aggregator.result()
    leave_by = time.monotonic() + FAREWELL
    while time.monotonic() < leave_by and any(f.process.poll() is None for f in fleets):
        time.sleep(POLL)  # a device that is away just now hears of the end when it is back
