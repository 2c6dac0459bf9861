"""One process of a fleet benchmark: `python -m benchmarks.fleet_part '{"role": ...}'`.

Prints one JSON object.  Seconds of a run are those from the announcement of its
first round to the end of its last one; before that is set-up.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from aggregator.records import RoundRecord
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from benchmarks import softmax
from device_sim.fleet import FleetTally, run_fleet
from device_sim.settings import FleetSettings
from device_sim.trainers import fastest_trainer
from mqtt_client.client import Broker
from mqtt_client.endpoint import Endpoint
from mqtt_client.memory import MemoryBroker
from wire.settings import WireSettings

FLEET = "bench"
BLOCK = 65_536  # a simulated device's buffer is a setting


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    clients: int
    cohort: int
    rounds: int
    transport: str
    folder: str  # of the run
    role: str = "all"  # or aggregate, devices
    port: int = 0  # of the broker; 0: it is in memory
    codec: str = "peaks"

    @property
    def wire(self) -> WireSettings:
        """The [wire] section."""
        return WireSettings.model_validate({"codec": self.codec, "block": BLOCK})

    def as_json(self, **changed: Any) -> str:
        """For the command line of a part."""
        return json.dumps(asdict(replace(self, **changed)))


def status(key: str, pid: int | None) -> int:
    """Bytes that Linux says of a process' memory: VmRSS is now, VmHWM the peak; else 0."""
    path = Path("/proc") / str(pid) / "status"
    if not path.exists():
        return 0
    (line,) = [line for line in path.read_text().splitlines() if line.startswith(key)]
    return int(line.split()[1]) * 1024


class Memory:
    """What this process took since `begin`, at most."""

    def __init__(self) -> None:
        self._before = 0

    def begin(self) -> None:
        """Forget the peak so far."""
        reset = Path("/proc/self/clear_refs")
        if reset.exists():
            reset.write_text("5")
        self._before = status("VmRSS", os.getpid())

    def taken(self) -> int:
        """Bytes."""
        return status("VmHWM", os.getpid()) - self._before


MEMORY = Memory()


class Clock:
    """Notes when rounds end."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.records: list[RoundRecord] = []
        self.times: list[float] = []

    def note(self, record: RoundRecord) -> None:
        """Hear of a round's end."""
        self.records.append(record)
        self.times.append(time.perf_counter())

    def result(self) -> dict[str, Any]:
        """Seconds and updates."""
        rounds = [record for record in self.records if record.number]
        opened = self.times[-len(rounds)] - rounds[0].seconds
        return {
            "seconds": round(self.times[-1] - opened, 3),
            "setup_seconds": round(opened - self.began, 3),
            "rounds": len(rounds),
            "updates": sum(record.accepted for record in rounds),
        }


async def _aggregate(plan: Plan, broker: Broker, clock: Clock) -> None:
    await aggregate(
        broker=broker,
        fleet=FLEET,
        base=softmax.model(),
        run_dir=Path(plan.folder),
        settings=FederatedSettings(
            rounds=plan.rounds,
            cohort=plan.cohort,
            quorum=1.0,
            max_devices=max(plan.clients, 1),
            epochs=1,
            batch=10,
            learning_rate=softmax.LEARNING_RATE,
            fake_quantize=False,
            evaluate_every=plan.rounds,
        ),
        wire=plan.wire,
        expected=plan.clients,
        seed=1,
        evaluate=lambda _: 0.0,
        on_round=clock.note,
    )


async def _devices(plan: Plan, broker: Broker) -> FleetTally:
    shards = softmax.shards(plan.clients)
    MEMORY.begin()
    return await run_fleet(
        broker=broker,
        fleet=FLEET,
        devices=shards,
        settings=FleetSettings.model_validate({"transport": plan.transport}),
        seed=1,
        wire=plan.wire,
        trainer=fastest_trainer,
        threads=os.cpu_count() or 1,
    )


async def _all(plan: Plan, clock: Clock) -> FleetTally:
    broker = MemoryBroker()
    tally, _ = await asyncio.gather(_devices(plan, broker), _aggregate(plan, broker, clock))
    return tally


def main(plan: Plan) -> dict[str, Any]:
    """Run the part."""
    clock, endpoint = Clock(), Endpoint("127.0.0.1", plan.port)
    parts: dict[str, Coroutine[Any, Any, FleetTally | None]] = {}
    if plan.role == "all":
        parts["all"] = _all(plan, clock)
    elif plan.role == "aggregate":
        parts["aggregate"] = _aggregate(plan, endpoint, clock)
    else:
        parts["devices"] = _devices(plan, endpoint)
    (part,) = parts.values()
    tally = asyncio.run(part)
    result: dict[str, Any] = {}
    if plan.role != "devices":
        model = (Path(plan.folder) / "model.tflite").read_bytes()
        result |= clock.result() | {"model": sha256(model).hexdigest()[:16]}
    if tally is not None:
        result |= {"heard": tally.accepted, "bytes": tally.bytes_up + tally.bytes_down}
        result["bytes_per_device"] = MEMORY.taken() // plan.clients
    # Not getrusage: that remembers the process which this one was forked from.
    return result | {f"memory_{plan.role}": status("VmHWM", os.getpid())}


if __name__ == "__main__":
    print(json.dumps(main(Plan(**json.loads(sys.argv[1])))))
