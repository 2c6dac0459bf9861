"""`microfed plan`: what a roll-out will cost in bytes, joules and days, before it begins."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from cli.build import build_model
from cli.config import Experiment, load
from cli.exits import Exit
from cli.options import config_argument, set_option
from cli.output import Output, energy, percent, reports_errors, size
from cli.shares import check_fleet, check_model, shares_of
from device_sim.settings import FleetSettings
from tflite_models.boards import BOARDS, RUNTIME_RAM, STACK, fits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aggregator.settings import FederatedSettings
    from device_sim.energy import Costs
    from device_sim.plan import Plan, Rollout

LINKS = get_args(FleetSettings.model_fields["link"].annotation)
HOUR = 3600.0
_SPENT_ON = {
    "training": "training",
    "up": "sending",
    "down": "receiving",
    "connecting": "connecting",
    "sleep": "sleep",
    "inference": "inference",
    "total": "energy",
}


@click.command(
    epilog="Example: microfed plan examples/har.toml --model tflite_models/har/model.tflite "
    "--board nano33ble --link ble"
)
@config_argument
@set_option
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The int8 .tflite to start from; otherwise one is built first.",
)
@click.option("--link", type=click.Choice(LINKS), help="As fleet.link.")
@click.option("--board", type=click.Choice(list(BOARDS)), metavar="NAME", help="As fleet.board.")
@click.option(
    "--interval",
    type=click.FloatRange(0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="From one round to the next; 0: without a pause, over one connection.",
)
@click.option(
    "--inferences",
    type=click.FloatRange(0),
    default=0.0,
    metavar="N",
    help="That a device makes between two rounds, its own work.  [default: 0]",
)
@click.option(
    "--rehearse",
    type=click.IntRange(1),
    metavar="ROUNDS",
    help="Rehearse so many and guess the rest: sooner, and rougher.  [default: all]",
)
@reports_errors
def command(
    config: Path,
    overrides: tuple[str, ...],
    model: Path | None,
    link: str | None,
    board: str | None,
    interval: float,
    inferences: float,
    rehearse: int | None,
    out: Output,
) -> None:
    """Say what CONFIG will cost every device, and whether the model fits its board.

    Rehearses the rounds in memory, to see how large the differences between versions are,
    and counts instructions in QEMU where that is installed.  Exit code 7: it does not fit.
    """
    from cli.rehearse import rollout_of

    named = {"link": link, "board": board}
    chosen = [f"fleet.{key}={value}" for key, value in named.items() if value]
    experiment = load(config, (*overrides, *chosen))
    shares = shares_of(experiment)
    check_fleet(config, experiment, len(shares.devices))
    with _model(experiment, model, out) as file:
        check_model(file, shares)
        rollout = rollout_of(experiment, shares, file, rehearse)
        result, fit = _planned(experiment, rollout, file, interval, inferences, out)
    out.result(result)
    if not fit:
        sys.exit(Exit.BUDGET)


@contextmanager
def _model(experiment: Experiment, model: Path | None, out: Output) -> Iterator[Path]:
    """The model that is named, or one that is built for as long as it is looked at."""
    if model is not None:
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="microfed-plan-") as folder:
        yield Path(build_model(experiment, Path(folder), out)["model"])


def _planned(
    experiment: Experiment,
    rollout: Rollout,
    model: Path,
    interval: float,
    inferences: float,
    out: Output,
) -> tuple[dict[str, Any], bool]:
    """The plan as --json says it, and whether the model fits the board."""
    from cli.work import measured_work
    from device_sim.energy import Costs
    from device_sim.plan import plan
    from tflite_models.inspect import summarize

    file = model.read_bytes()
    costs = Costs.of(experiment.fleet, measured_work(experiment, file))
    planned = plan(rollout, costs, interval * HOUR, inferences)
    verdict = fits(summarize(file), costs.board)
    ram = training_ram(file, experiment.federated)
    room = costs.board.ram - RUNTIME_RAM - STACK
    fit = verdict.fits and ram <= room
    _show(rollout, costs, planned, out)
    trains = experiment.federated.train
    word = "fits" if ram <= room else "does not fit"
    out.line(f"training {trains} {word}: {ram:,} bytes of {room:,} of RAM")
    for reason in verdict.reasons:
        out.line(reason)
    for name, why in costs.lacking.items():
        out.line(f"not estimated: {name}, for {why}")
    return _result(rollout, costs, planned, ram, fit=fit), fit


def _show(rollout: Rollout, costs: Costs, planned: Plan, out: Output) -> None:
    devices = rollout.devices
    out.table(
        ("", "a usual round", "a device, in all", "the fleet"),
        [
            ("sent", *_sizes(planned.round_up, planned.bytes_up, devices)),
            ("received", *_sizes(planned.round_down, planned.bytes_down, devices)),
            *(
                (_SPENT_ON[name], *_joules(joules, rollout))
                for name, joules in spend(costs, planned).items()
            ),
        ],
    )
    how = "counted in QEMU" if costs.work and costs.work.measured else "estimated"
    out.line(
        f"{devices} devices, {rollout.rounds} rounds, each device in {rollout.taken}; "
        f"{costs.board.title} by {costs.radio.title}; instructions {how}"
    )
    share = _share(costs, planned)
    out.line(
        f"{planned.days:,.3g} days; a round takes a device {planned.seconds_round:,.3g} s"
        + (f"; {percent(share)} of a battery" if share is not None else "")
    )
    if planned.silent:
        out.line(f"of a round, {planned.silent:,.0f} s are waiting for the right to send")


def spend(costs: Costs, planned: Plan) -> dict[str, float | None]:
    """Joules of a device by what they are spent on; None where that is not known."""
    joules = planned.energy.as_json(costs.lacking)
    total = joules.pop("total")
    joules["inference"] = None if "training" in costs.lacking else planned.inference
    return {**joules, "total": None if total is None else planned.joules}


def _joules(joules: float | None, rollout: Rollout) -> tuple[str, str, str]:
    if joules is None:
        return "–", "–", "–"
    return energy(joules / rollout.taken), energy(joules), energy(joules * rollout.devices)


def _sizes(usual: int, all_rounds: int, devices: int) -> tuple[str, str, str]:
    return size(usual), size(all_rounds), size(all_rounds * devices)


def _result(
    rollout: Rollout, costs: Costs, planned: Plan, ram: int, *, fit: bool
) -> dict[str, Any]:
    joules, work = spend(costs, planned), costs.work
    total = joules["total"]
    return {
        "devices": rollout.devices,
        "rounds": rollout.rounds,
        "rounds_of_device": rollout.taken,
        "board": costs.board.name,
        "link": costs.radio.name,
        "bytes_up_round": planned.round_up,
        "bytes_down_round": planned.round_down,
        "bytes_up_device": planned.bytes_up,
        "bytes_down_device": planned.bytes_down,
        "bytes_up": planned.bytes_up * rollout.devices,
        "bytes_down": planned.bytes_down * rollout.devices,
        "joules_round": {
            name: None if value is None else value / rollout.taken for name, value in joules.items()
        },
        "joules_device": joules,
        "joules": None if total is None else total * rollout.devices,
        "joules_lacking": dict(costs.lacking),
        "battery_share": _share(costs, planned),
        "seconds_round": planned.seconds_round,
        "seconds_waiting": planned.silent,
        "days": planned.days,
        "instructions": None if work is None else asdict(work),
        "bytes_ram_training": ram,
        "fits": fit,
    }


def _share(costs: Costs, planned: Plan) -> float | None:
    return None if "training" in costs.lacking else planned.joules / costs.capacity


def training_ram(file: bytes, federated: FederatedSettings) -> int:
    """Bytes that training takes on a board, by the planner of the core."""
    from aggregator.course import recipe_of
    from device_sim.memory import choices
    from device_sim.native import core_recipe
    from tflite_models.graph import read_graph
    from tflite_models.parameters import layout_of
    from tflite_models.scope import bits_of

    graph = read_graph(file)
    layout = layout_of(graph)
    recipe = core_recipe(recipe_of(federated, 0, bits_of(layout, federated.train)))
    found = {choice.name: choice.bytes for choice in choices(graph, layout, recipe)}
    return found[federated.train]
