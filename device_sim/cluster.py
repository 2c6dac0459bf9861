"""A fleet on a Ray cluster: each actor runs a shard of the devices with its own connections.

Ray starts the actors, brings them their data and their counts back; what the
devices say goes over MQTT as it always does, so a fleet on many machines does
what it would do in one process.  Needs microfed[ray].
"""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from device_sim.energy import Work
from device_sim.fleet import FleetTally, Shard, run_fleet
from device_sim.models import TrainerOf
from device_sim.settings import FleetSettings
from mqtt_client.endpoint import Endpoint
from wire.settings import WireSettings

MARK = "cluster"  # a file of the vault by which every node sees that it is the same folder


class NoRayError(Exception):
    """Ray is not installed."""

    def __init__(self) -> None:
        super().__init__(
            'fleet.engine: found "ray", but Ray is not installed: pip install "microfed[ray]", '
            'or set fleet.engine = "process"'
        )


class NotSharedError(Exception):
    """A node that does not see the folder where devices keep what they must not forget."""

    def __init__(self, folder: str, node: str) -> None:
        super().__init__(folder, node)
        self.folder, self.node = folder, node

    def __str__(self) -> str:
        """What is wrong and what to do."""
        return (
            f"{self.folder}: node {self.node} does not see this folder of the run: "
            'keep the run where every node of the cluster does, or set fleet.engine = "process"'
        )


def run_on_ray(
    *,
    broker: Endpoint,
    fleet: str,
    devices: Mapping[str, Shard],
    settings: FleetSettings,
    seed: int,
    wire: WireSettings,
    trainer: TrainerOf,
    vault: Path | None = None,
    work: Work | None = None,
) -> FleetTally:
    """Run the devices as `run_fleet` does, on the cluster that Ray is, or becomes, connected to.

    The cluster is the one that RAY_ADDRESS names, one of this machine where
    nothing does.  `settings.processes` actors share the devices, by default one for
    each processor of the cluster.  The broker's address must hold on every node, and so
    must the folder `vault`: nobody knows on which node a device wakes up after a crash.

    Raises NoRayError, NotSharedError, and what else an actor raised as
    ray.exceptions.RayTaskError.
    """
    ray = _connected()
    shards = settings.processes or int(ray.cluster_resources()["CPU"])
    remote = ray.remote(num_cpus=1, max_restarts=0)(_Shard)
    given = {
        "broker": broker,
        "fleet": fleet,
        "settings": settings,
        "seed": seed,
        "wire": wire,
        "trainer": trainer,
        "vault": None if vault is None else vault.resolve(),
        "work": work,
    }
    mark = "" if vault is None else _mark(vault)
    actors = [remote.remote(given, mark) for _ in range(min(shards, len(devices)))]
    tallies = _run(ray, actors, devices)
    return FleetTally({name: t for tally in tallies for name, t in tally.devices.items()}, work)


def _connected() -> Any:
    """The module ray, connected to a cluster.  Raises NoRayError."""
    try:
        import ray  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise NoRayError from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    return ray


def _run(ray: Any, actors: Sequence[Any], devices: Mapping[str, Shard]) -> list[FleetTally]:
    """Share the devices among the actors, which end with them.  Raises what an actor raised."""
    try:
        tallies: list[FleetTally] = ray.get(
            [
                actor.run.remote(share)
                for actor, share in zip(actors, _shares(devices, len(actors)), strict=True)
            ]
        )
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, NotSharedError):
            raise error.cause from error
        raise
    finally:
        for actor in actors:
            ray.kill(actor)
    return tallies


class _Shard:
    """One process' part of the fleet.  `mark` is what the vault holds, if there is one."""

    def __init__(self, given: Mapping[str, Any], mark: str) -> None:
        self._given, self._mark = given, mark

    def run(self, devices: Mapping[str, Shard]) -> FleetTally:
        """Run these devices until they have left.  Raises NotSharedError."""
        vault: Path | None = self._given["vault"]
        if vault is not None and _read(vault / MARK) != self._mark:
            raise NotSharedError(str(vault), platform.node())
        return asyncio.run(run_fleet(devices=devices, **self._given))


def _mark(vault: Path) -> str:
    """Write into the folder what nobody else would."""
    vault.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(16)
    (vault / MARK).write_text(mark)
    return mark


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _shares(devices: Mapping[str, Shard], count: int) -> list[dict[str, Shard]]:
    """Cut into `count` parts of equal size, or one less."""
    rest, size, extra = iter(devices.items()), *divmod(len(devices), count)
    return [dict(islice(rest, size + (part < extra))) for part in range(count)]
