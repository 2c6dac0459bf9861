"""`microfed devices`: some or all simulated devices of an experiment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.config import Experiment, load
from cli.options import broker_option, config_argument, endpoint_of, set_option
from cli.output import Output, reports_errors, size
from cli.parts import end_with_parent

if TYPE_CHECKING:
    from cli.shares import Shares
    from device_sim.tally import FleetTally
    from mqtt_client.client import Broker


@click.command(
    epilog="Example: microfed devices examples/har.toml --broker mqtt://127.0.0.1:1883 --count 9"
)
@config_argument
@set_option
@broker_option
@click.option("--first", default=0, show_default=True, help="The first device's number.")
@click.option("--count", default=0, help="How many devices; 0, the default, is all from --first.")
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model that they will be taught: with it the energy of training is counted too.",
)
@click.option(
    "--out",
    "tally_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what every device counted, as JSON.",
)
@click.option(
    "--keep",
    "vault",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where devices keep what they must not forget when they are killed.",
)
@reports_errors
def command(
    config: Path,
    overrides: tuple[str, ...],
    broker_url: str,
    first: int,
    count: int,
    model: Path | None,
    tally_path: Path | None,
    vault: Path | None,
    out: Output,
) -> None:
    """Run simulated devices of CONFIG against the broker that its aggregator is on."""
    end_with_parent()
    experiment = load(config, overrides)

    from cli.shares import shares_of

    if experiment.fleet.transport == "memory":
        raise click.UsageError(
            "fleet.transport: memory is one process with aggregator and broker: use microfed run, "
            "or --set fleet.transport=gateway"
        )
    shares = shares_of(experiment)
    devices = _chosen(first, count, len(shares.devices))
    endpoint = endpoint_of(broker_url, experiment.broker)
    if experiment.fleet.engine == "ray":
        from device_sim.cluster import run_on_ray

        tally = run_on_ray(
            **_fleet(experiment, shares, devices, model), broker=endpoint, vault=vault
        )
    else:
        tally = asyncio.run(simulation(experiment, shares, endpoint, devices, model, vault))
    if tally_path is not None:
        tally.write(tally_path)
    out.line(
        f"{len(devices)} devices: {tally.accepted} updates accepted, "
        f"{size(tally.bytes_up)} up, {size(tally.bytes_down)} down"
    )
    out.result(
        {
            "devices": len(devices),
            "updates": tally.accepted,
            "bytes_up": tally.bytes_up,
            "bytes_down": tally.bytes_down,
            "joules": tally.energy.as_json(() if model else ("training",)),
        }
    )


def _chosen(first: int, count: int, total: int) -> range:
    """`count` devices from `first` on, as far as there are any; a count of 0 is all of them."""
    last = min(first + count, total) if count else total
    if first < 0 or count < 0 or first >= last:
        raise click.UsageError(
            f"--first {first} --count {count}: the experiment has {total} devices"
        )
    return range(first, last)


def processes_of(experiment: Experiment) -> int:
    """How many processes of this machine share the devices."""
    return experiment.fleet.processes or min(2, os.cpu_count() or 1)


def simulation(
    experiment: Experiment,
    shares: Shares,
    broker: Broker,
    which: range,
    model: Path | None,
    vault: Path | None,
) -> Coroutine[Any, Any, FleetTally]:
    """Some devices of an experiment, as `device_sim.fleet` has them."""
    from device_sim.fleet import run_fleet

    alone = experiment.fleet.transport == "memory"
    threads = max(1, (os.cpu_count() or 1) // (1 if alone else processes_of(experiment)))
    return run_fleet(
        **_fleet(experiment, shares, which, model), broker=broker, threads=threads, vault=vault
    )


def _fleet(
    experiment: Experiment, shares: Shares, which: range, model: Path | None
) -> dict[str, Any]:
    """What a fleet is told wherever it runs."""
    from cli.shares import device_id
    from cli.work import work_of
    from device_sim.shard import Shard
    from device_sim.trainers import fastest_trainer

    x, y, clients = shares.dataset.x, shares.dataset.y, shares.split.clients
    return {
        "fleet": experiment.name,
        "devices": {
            device_id(index): Shard(x[clients[index]], y[clients[index]]) for index in which
        },
        "settings": experiment.fleet,
        "seed": experiment.seed,
        "wire": experiment.wire,
        "trainer": fastest_trainer,
        "work": None if model is None else work_of(experiment, model.read_bytes()),
    }
