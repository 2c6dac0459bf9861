"""Many simulated devices in one process: one event loop, a few lines, a few trainer threads."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from device_sim.energy import Costs, Work
from device_sim.ground import Ground
from device_sim.line import Gateway, Line, OwnLine
from device_sim.models import Models, TrainerOf
from device_sim.profile import profile_of, rng_of
from device_sim.runner import Runner
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.state import Traits
from device_sim.tally import FleetTally
from device_sim.vault import Vault
from device_sim.workshop import Workshop
from mqtt_client.client import Broker
from tflite_models.boards import board_named
from wire.codec import CODECS
from wire.messages import MAX_OBJECT
from wire.settings import WireSettings
from wire.topics import Topics

__all__ = ["FleetTally", "Shard", "run_fleet"]

# Records without cycles come and go by the million.  Looking for cycles among them after
# every 700 that are new, as Python does, takes a fifth of the time of a large fleet.
COLLECT_AFTER = 100_000
STAGGER = 0.001  # seconds between the starts of two lines
GRACE = 10.0  # seconds that devices have to say goodbye when the process must end
SPARE_FILES = 64


async def run_fleet(
    *,
    broker: Broker,
    fleet: str,
    devices: Mapping[str, Shard],
    settings: FleetSettings,
    seed: int,
    wire: WireSettings,
    trainer: TrainerOf,
    threads: int = 1,
    vault: Path | None = None,
    work: Work | None = None,
) -> FleetTally:
    """Run the devices until the aggregator says that the run is over, and return their counts.

    SIGTERM makes every device say goodbye; the counts until then are returned.

    Args:
        broker: where it is, or the broker itself when it is in memory.
        fleet: names the topics.
        devices: every device's id and data.
        settings: their hardware and their mishaps, and how they are connected.
        seed: with a device's id the source of all its chances.
        wire: how objects are cut.
        trainer: makes what trains a network; called once for each base file.
        threads: that train.
        vault: a folder where devices keep what must outlive this process; None: nowhere.
        work: instructions of the model that is taught; None: training costs nothing.

    Raises:
        BrokerUnreachable: no device could reach the broker; a later loss is waited out.
    """
    gc.set_threshold(COLLECT_AFTER)
    workshop = Workshop(threads)
    kept = None if vault is None else Vault(vault)
    costs = Costs.of(settings, work)
    ground = Ground(broker, Topics(fleet), workshop, costs, kept, asyncio.Event())
    flash = min(board_named(settings.board).flash, MAX_OBJECT)
    models = Models(trainer, flash)
    kind = Traits("", settings.board, wire.block, flash, 0, frozenset(CODECS), models)
    lines = _lines(ground, kind, devices, settings, seed)
    runners = [runner for line in lines for runner in line.runners]
    _allow_files(len(lines) + SPARE_FILES)
    try:
        await _live(lines, runners)
    finally:
        workshop.close()
    return FleetTally({runner.id: runner.tally for runner in runners}, work)


def _lines(
    ground: Ground, kind: Traits, devices: Mapping[str, Shard], settings: FleetSettings, seed: int
) -> list[Line]:
    """The connections, with devices of that kind on them."""

    def runner_of(name: str, gateway: str) -> Runner:
        rng = rng_of(seed, name)
        traits = replace(kind, id=name, samples=len(devices[name]), gateway=gateway)
        return Runner(ground, traits, devices[name], profile_of(settings, ground.costs, rng), rng)

    names = tuple(devices)
    if settings.transport == "mqtt":
        return [OwnLine(ground, runner_of(name, "")) for name in names]
    # What a broker in memory says to all, it says once for each line.
    most = max(len(names), 1) if settings.transport == "memory" else settings.gateway
    groups = [names[at : at + most] for at in range(0, len(names), most)]
    return [
        Gateway(ground, group[0], [runner_of(name, group[0]) for name in group]) for group in groups
    ]


async def _live(lines: Sequence[Line], runners: Sequence[Runner]) -> None:
    """Let them live until all have left, one line failed, or the process must end."""
    loop = asyncio.get_running_loop()
    starts = [loop.call_later(i * STAGGER, line.begin) for i, line in enumerate(lines)]
    told = asyncio.Event()
    watch = asyncio.create_task(told.wait())
    try:
        with _on_sigterm(told.set):
            everyone = asyncio.gather(*(line.done for line in lines))
            both: set[asyncio.Future[Any]] = {everyone, watch}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not everyone.done():
                for runner in runners:
                    runner.stop()
                await asyncio.wait({everyone}, timeout=GRACE)
            if everyone.done():
                everyone.result()
    finally:
        watch.cancel()
        for start in starts:
            start.cancel()
        for line in lines:
            line.end()
        await asyncio.gather(watch, *(line.done for line in lines), return_exceptions=True)


@contextmanager
def _on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on SIGTERM; only the main thread can be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _allow_files(count: int) -> None:
    """Raise the limit of open files, as far as we may, when the devices need more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
