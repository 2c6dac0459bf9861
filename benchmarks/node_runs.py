"""Whole runs with real nodes or simulated devices, and every update that was offered in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.aggregate import aggregation
from cli.config import Experiment
from cli.devices import simulation
from cli.folder import prepare
from cli.shares import Shares
from firmware.node_processes import RunningNodes
from mqtt_client.connection import Connection
from mqtt_client.endpoint import Endpoint
from wire.cbor import decode
from wire.messages import Message, Offer
from wire.topics import Topics

Named = tuple[str, int]  # device, round
ALONE = 30.0  # seconds that the aggregator has to end once no device is left


@dataclass
class Heard:
    """What devices said in a run, and the model that came of it."""

    offers: dict[Named, Offer] = field(default_factory=dict)
    declined: list[tuple[str, Message]] = field(default_factory=list)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    model: bytes = b""


def differing(one: Heard, other: Heard) -> list[Named]:
    """The offers that are not the same in both, to the last byte and loss."""
    names = one.offers.keys() | other.offers.keys()
    return sorted(n for n in names if one.offers.get(n) != other.offers.get(n))


def with_nodes(
    experiment: Experiment,
    shares: Shares,
    model: Path,
    broker: Endpoint,
    run: Path,
    nodes: RunningNodes,
    start: Callable[[], None],
    during: Callable[[Heard], None] = lambda _: None,
) -> Heard:
    """A run whose devices are nodes that `start` starts.

    during: called with all that was said until then, whenever something is said.
    """

    async def live() -> None:
        start()
        await asyncio.to_thread(nodes.wait)

    run_of = _Run(experiment, shares, model, broker, run)
    return asyncio.run(_heard(run_of, live(), during))


def with_devices(
    experiment: Experiment, shares: Shares, model: Path, broker: Endpoint, run: Path
) -> Heard:
    """The same run with simulated devices."""
    everybody = range(len(shares.devices))
    fleet = simulation(experiment, shares, broker, everybody, model, run / "devices")
    run_of = _Run(experiment, shares, model, broker, run)
    return asyncio.run(_heard(run_of, fleet, lambda _: None))


@dataclass(frozen=True)
class _Run:
    experiment: Experiment
    shares: Shares
    model: Path
    broker: Endpoint
    folder: Path


async def _heard(
    run: _Run, fleet: Coroutine[Any, Any, object], during: Callable[[Heard], None]
) -> Heard:
    heard, topics = Heard(), Topics(run.experiment.name)

    def hear(topic: str, payload: bytes) -> None:
        sender = topics.sender(topic)
        if sender is None or sender[1] != "up":
            return
        message = decode(payload)
        heard.sent.append((sender[0], message))
        if isinstance(message, Offer) and message.data:
            heard.offers[sender[0], message.round] = message
        during(heard)

    run.folder.mkdir(parents=True, exist_ok=True)
    prepare(run.folder, run.experiment, run.model)
    listener = Connection(run.broker, f"{topics.fleet}-listener", on_message=hear)
    listener.subscribe(topics.up("+"))
    await listener.connect(10)
    devices = asyncio.ensure_future(fleet)
    serving = asyncio.ensure_future(
        aggregation(run.experiment, run.shares, run.broker, run.folder, lambda _: None)
    )
    try:
        await asyncio.wait({devices, serving}, return_when=asyncio.FIRST_COMPLETED)
        if devices.done():
            devices.result()
        await asyncio.wait_for(serving, ALONE)
    finally:
        for task in (devices, serving):
            task.cancel()
        await asyncio.gather(devices, serving, return_exceptions=True)
        await listener.disconnect()
    heard.model = (run.folder / "model.tflite").read_bytes()
    return heard
