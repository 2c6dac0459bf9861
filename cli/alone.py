"""A whole run in this process: fleet.transport = "memory"."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from cli.aggregate import aggregation, log_to, telling
from cli.config import Experiment
from cli.devices import simulation
from cli.folder import BASE
from cli.output import Output
from cli.shares import Shares


def teach_alone(experiment: Experiment, shares: Shares, run: Path, out: Output) -> float:
    """Run aggregator and devices until the end; return the seconds it took.

    KeyboardInterrupt when asked to stop: the run can be resumed.
    """
    out.line(f"{len(shares.devices)} devices in memory, {run}")
    log_to(run / "aggregator.log")
    started = time.monotonic()
    finished = asyncio.run(_live(experiment, shares, run, out))
    if not finished:
        raise KeyboardInterrupt
    return time.monotonic() - started


async def _live(experiment: Experiment, shares: Shares, run: Path, out: Output) -> bool:
    from mqtt_client.memory import MemoryBroker

    broker = MemoryBroker()
    everybody = range(len(shares.devices))
    with telling(experiment, out) as tell:
        serving = asyncio.create_task(aggregation(experiment, shares, broker, run, tell))
        fleet = asyncio.create_task(
            simulation(experiment, shares, broker, everybody, run / BASE, run / "devices")
        )
        try:
            await asyncio.wait({serving, fleet}, return_when=asyncio.FIRST_COMPLETED)
            if fleet.done():
                fleet.result()  # it may have failed, and then nobody would come
            finished = await serving
            if finished:
                (await fleet).write(run / "fleet-0.json")
            return finished
        finally:
            for task in (serving, fleet):
                task.cancel()
            await asyncio.gather(serving, fleet, return_exceptions=True)
