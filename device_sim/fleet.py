"""Many simulated devices in one process: one event loop, a connection each, one trainer thread."""

from __future__ import annotations

import asyncio
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from device_sim.ground import Ground, Happening
from device_sim.models import Models, TrainerOf
from device_sim.profile import profile_of, rng_of
from device_sim.runner import Runner
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.state import Traits
from device_sim.tally import FleetTally
from mqtt_client.endpoint import Endpoint
from tflite_models.boards import board_named
from wire.codec import CODECS
from wire.messages import MAX_OBJECT
from wire.settings import WireSettings
from wire.topics import Topics

__all__ = ["FleetTally", "Happening", "Shard", "run_fleet"]

STAGGER = 0.001  # seconds between the starts of two devices
GRACE = 10.0  # seconds that devices have to say goodbye when the process must end
SPARE_FILES = 64


async def run_fleet(
    *,
    endpoint: Endpoint,
    fleet: str,
    devices: Mapping[str, Shard],
    settings: FleetSettings,
    seed: int,
    wire: WireSettings,
    trainer: TrainerOf,
    on_event: Callable[[Happening], None] = lambda _: None,
) -> FleetTally:
    """Run the devices until the aggregator says that the run is over, and return their counts.

    SIGTERM makes every device say goodbye; the counts until then are returned.

    Args:
        endpoint: the broker.
        fleet: names the topics.
        devices: every device's id and data.
        settings: their hardware and their mishaps.
        seed: with a device's id the source of all its chances.
        wire: how objects are cut.
        trainer: makes what trains a network; called once for each base file.
        on_event: told what happens, on the loop; return quickly.

    Raises:
        BrokerUnreachable: no device could reach the broker; a later loss is waited out.
    """
    _allow_files(len(devices) + SPARE_FILES)
    flash = min(board_named(settings.board).flash, MAX_OBJECT)
    models = Models(trainer, flash)
    with ThreadPoolExecutor(1, "training") as executor:
        ground = Ground(endpoint, Topics(fleet), executor, on_event, asyncio.Event())
        runners = {}
        for name, shard in devices.items():
            rng = rng_of(seed, name)
            traits = Traits(
                id=name,
                board=settings.board,
                buffer=wire.block,
                flash=flash,
                samples=len(shard),
                codecs=frozenset(CODECS),
                models=models,
            )
            runners[name] = Runner(ground, traits, shard, profile_of(settings, rng), rng)
        try:
            await _live(list(runners.values()))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
    return FleetTally({name: runner.tally for name, runner in runners.items()})


async def _live(runners: list[Runner]) -> None:
    """Let them live until all have left, one failed, or the process must end."""
    tasks = [
        asyncio.create_task(runner.live(index * STAGGER)) for index, runner in enumerate(runners)
    ]
    told = asyncio.Event()
    watch = asyncio.create_task(told.wait())
    try:
        with _on_sigterm(told.set):
            everyone = asyncio.gather(*tasks)
            both: set[asyncio.Future[Any]] = {everyone, watch}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not everyone.done():
                for runner in runners:
                    runner.stop()
                await asyncio.wait({everyone}, timeout=GRACE)
            if everyone.done():
                everyone.result()
    finally:
        for task in (watch, *tasks):
            task.cancel()
        await asyncio.gather(watch, *tasks, return_exceptions=True)


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
