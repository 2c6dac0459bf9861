"""`microfed aggregate`: the aggregator of an experiment, on its own."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.config import load
from cli.options import broker_option, config_argument, endpoint_of, set_option
from cli.output import Output, percent, reports_errors, size
from cli.parts import end_with_parent
from cli.progress import progress

if TYPE_CHECKING:
    from aggregator.records import RoundRecord


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
    end_with_parent()
    experiment = load(config, overrides)

    from cli.shares import check_model, shares_of

    shares = shares_of(experiment)
    if model is not None:
        check_model(model, shares)
    base = run / "base.tflite"
    if not base.exists():
        if model is None:
            raise click.UsageError(f"no run in {run}: say with --model what to start from")
        run.mkdir(parents=True, exist_ok=True)
        partial = base.with_suffix(".partial")
        shutil.copyfile(model, partial)
        partial.replace(base)
        (run / "config.toml").write_text(experiment.to_toml(), encoding="utf-8")

    from aggregator.service import aggregate
    from tflite_models.interpreter import Interpreter

    test = shares.split.test
    x, y = shares.dataset.x[test], shares.dataset.y[test]
    endpoint = endpoint_of(broker_url, experiment.broker)
    rounds = experiment.federated.rounds
    with progress(out, "rounds", rounds) as step:
        finished = asyncio.run(
            aggregate(
                endpoint=endpoint,
                fleet=experiment.name,
                base=base.read_bytes(),
                run_dir=run,
                settings=experiment.federated,
                wire=experiment.wire,
                expected=len(shares.devices),
                seed=experiment.seed,
                evaluate=lambda file: Interpreter(file).accuracy(x, y),
                on_round=lambda record: step(record.number, _line(record, rounds)),
            )
        )
    if not finished:
        raise KeyboardInterrupt
    out.result({"model": str(run / "model.tflite"), "run": str(run)})


def _line(record: RoundRecord, rounds: int) -> str:
    return (
        f"round {record.number:>3}/{rounds}  accuracy {percent(record.accuracy)}  "
        f"updates {record.accepted}/{record.cohort}  up {size(record.bytes_up)}  "
        f"down {size(record.bytes_down)}  {record.seconds:.1f} s"
    )
