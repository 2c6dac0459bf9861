"""`microfed devices`: some or all simulated devices of an experiment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from cli.config import load
from cli.options import broker_option, config_argument, endpoint_of, set_option
from cli.output import Output, reports_errors, size
from cli.parts import end_with_parent


@click.command(
    epilog="Example: microfed devices examples/har.toml --broker mqtt://127.0.0.1:1883 --count 9"
)
@config_argument
@set_option
@broker_option
@click.option("--first", default=0, show_default=True, help="The first device's number.")
@click.option("--count", default=0, help="How many devices; 0, the default, is all from --first.")
@click.option(
    "--out",
    "tally_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what every device counted, as JSON.",
)
@reports_errors
def command(
    config: Path,
    overrides: tuple[str, ...],
    broker_url: str,
    first: int,
    count: int,
    tally_path: Path | None,
    out: Output,
) -> None:
    """Run simulated devices of CONFIG, each with an MQTT connection of its own."""
    end_with_parent()
    experiment = load(config, overrides)

    from cli.shares import device_id, shares_of
    from device_sim.fleet import Shard, run_fleet
    from device_sim.trainers import fastest_trainer

    shares = shares_of(experiment)
    total = len(shares.devices)
    last = min(first + count, total) if count else total
    if first < 0 or count < 0 or first >= last:
        raise click.UsageError(
            f"--first {first} --count {count}: the experiment has {total} devices"
        )
    clients = shares.split.clients
    devices = {
        device_id(index): Shard(shares.dataset.x[clients[index]], shares.dataset.y[clients[index]])
        for index in range(first, last)
    }
    tally = asyncio.run(
        run_fleet(
            broker=endpoint_of(broker_url, experiment.broker),
            fleet=experiment.name,
            devices=devices,
            settings=experiment.fleet,
            seed=experiment.seed,
            wire=experiment.wire,
            trainer=fastest_trainer,
        )
    )
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
        }
    )
