"""`microfed aggregate`: the aggregator of an experiment, on its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.conclude import conclude
from cli.config import Experiment, load
from cli.options import broker_option, config_argument, endpoint_of, set_option
from cli.output import Output, percent, reports_errors, size
from cli.parts import end_with_parent
from cli.progress import progress

if TYPE_CHECKING:
    from aggregator.records import RoundRecord
    from cli.shares import Shares
    from mqtt_client.client import Broker

LOG_BYTES = 8_000_000  # of aggregator.log, and as much of the one before

log = logging.getLogger(__name__)


@click.command(
    epilog="Example: microfed aggregate examples/har.toml --model har.tflite "
    "--broker mqtt://127.0.0.1:1883 --out runs/har"
)
@config_argument
@set_option
@broker_option
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The int8 .tflite to start from.  Not needed where --out holds a run.",
)
@click.option(
    "--out",
    "run",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The run's folder; a run found there goes on.",
)
@reports_errors
def command(
    config: Path,
    overrides: tuple[str, ...],
    broker_url: str,
    model: Path | None,
    run: Path,
    out: Output,
) -> None:
    """Run the aggregator of CONFIG: choose devices, collect updates, improve the model."""
    is_part = end_with_parent()
    experiment = load(config, overrides)

    from cli.folder import BASE, held, prepare
    from cli.shares import check_model, shares_of

    if model is None and not (run / BASE).exists():
        raise click.UsageError(f"no run in {run}: say with --model what to start from")
    shares = shares_of(experiment)
    if model is not None:
        check_model(model, shares)
    # Whoever started a part holds the folder, and concludes.
    with contextlib.nullcontext() if is_part else held(run):
        prepare(run, experiment, model)
        log_to(run / "aggregator.log")
        started = time.monotonic()
        try:
            _serve(experiment, shares, broker_url, run, out)
        except Exception:
            log.exception("the run has ended")
            raise
        seconds = time.monotonic() - started
        out.result({"run": str(run)} if is_part else conclude(run, seconds, out))


def _serve(experiment: Experiment, shares: Shares, url: str, run: Path, out: Output) -> None:
    """Aggregate in the folder `run` until the end; KeyboardInterrupt when asked to stop."""
    broker = endpoint_of(url, experiment.broker)
    with telling(experiment, out) as tell:
        if not asyncio.run(aggregation(experiment, shares, broker, run, tell)):
            raise KeyboardInterrupt


@contextlib.contextmanager
def telling(experiment: Experiment, out: Output) -> Iterator[Callable[[RoundRecord], None]]:
    """Show and log each round while the run goes on."""
    rounds = experiment.federated.rounds
    with progress(out, "rounds", rounds) as step:

        def tell(record: RoundRecord) -> None:
            line = _line(record, rounds)
            log.info(line)
            step(record.number, line)

        yield tell


def aggregation(
    experiment: Experiment,
    shares: Shares,
    broker: Broker,
    run: Path,
    tell: Callable[[RoundRecord], None],
) -> Coroutine[Any, Any, bool]:
    """The aggregator of an experiment in the folder `run`, as `aggregator.service` has it."""
    from aggregator.evaluation import accuracy
    from aggregator.service import aggregate
    from cli.folder import BASE

    test = shares.split.test
    x, y = shares.dataset.x[test], shares.dataset.y[test]
    return aggregate(
        broker=broker,
        fleet=experiment.name,
        base=(run / BASE).read_bytes(),
        run_dir=run,
        settings=experiment.federated,
        wire=experiment.wire,
        expected=len(shares.devices),
        seed=experiment.seed,
        evaluate=lambda file: accuracy(file, x, y),
        on_round=tell,
    )


def log_to(path: Path) -> None:
    """Keep what the parts of the aggregator say; a device cannot fill the disk with refusals."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=[handler], force=True)


def _line(record: RoundRecord, rounds: int) -> str:
    return (
        f"round {record.number:>3}/{rounds}  accuracy {percent(record.accuracy)}  "
        f"updates {record.accepted}/{record.cohort}  up {size(record.bytes_up)}  "
        f"down {size(record.bytes_down)}  {record.seconds:.1f} s"
    )
