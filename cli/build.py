"""`microfed build`: from data to a verified int8 .tflite with its card."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.config import Experiment, load
from cli.exits import MissingError
from cli.options import config_argument, set_option
from cli.output import Output, percent, reports_errors
from cli.progress import progress

if TYPE_CHECKING:
    from pipeline.build import BuildResult


@click.command(epilog="Example: microfed build examples/har.toml --set prune.sparsity=0.8")
@config_argument
@set_option
@click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where model.tflite and its card go.  [default: runs/NAME-model]",
)
@reports_errors
def command(config: Path, overrides: tuple[str, ...], folder: Path | None, out: Output) -> None:
    """Train, prune, quantise, convert and verify the model that CONFIG describes."""
    experiment = load(config, overrides)
    folder = folder or Path("runs") / f"{experiment.name}-model"
    out.result(build_model(experiment, folder, out))


def build_model(experiment: Experiment, folder: Path, out: Output) -> dict[str, Any]:
    """Build into `folder`, show the stages, and return what --json says of them."""
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingError(
            "building needs TensorFlow: pip install 'microfed[build]', "
            "or start from a .tflite that exists with run --model FILE"
        )
    from pipeline.build import build

    done = itertools.count(1)
    with progress(out, "build", None) as step:  # which stages there are is the pipeline's to say
        result = build(
            experiment.data,
            experiment.model,
            experiment.prune,
            experiment.quantize,
            seed=experiment.seed,
            out=folder,
            on_stage=lambda stage: step(
                next(done),
                f"{stage.name}: accuracy {percent(stage.accuracy)}, {stage.seconds:.1f} s",
            ),
        )
    _show(result, out)
    return result.figures()


def _show(result: BuildResult, out: Output) -> None:
    out.table(
        ("stage", "accuracy", "sparsity", "bytes", "gzip"),
        [
            (
                stage.name,
                percent(stage.accuracy),
                percent(stage.sparsity),
                f"{stage.bytes:,}",
                f"{stage.bytes_gzip:,}",
            )
            for stage in result.stages
        ],
    )
    if result.central is not None:
        out.line(f"Trained centrally on all the data: {percent(result.central)}")
    out.line(f"model   {result.model}  ({result.seconds:.0f} s)")
