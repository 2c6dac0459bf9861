"""Bar 4.5: an update of a very small network on the wire, and a small buffer for a larger one.

Handwritten digits, on fully connected networks, taught by a fleet of the real aggregator and
the real devices through a broker in memory, which watches how long payloads are.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aggregator.evaluation import accuracy
from aggregator.records import RoundRecord
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from benchmarks.bars import Bar, Outcome, Row
from benchmarks.dense import Layer, network
from cli.output import Output
from datasets.load import load
from datasets.settings import DataSettings
from device_sim.fleet import run_fleet
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.trainers import fastest_trainer
from mqtt_client.memory import MemoryBroker
from wire.cbor import decode
from wire.errors import WireError
from wire.messages import Block, Offer
from wire.settings import WireSettings

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

SMALL = (16, 11, 6)  # 259 parameters: digits 0 to 5 in 4 × 4 pixels
LARGE = (64, 134, 10)  # 10,060 parameters: all digits
BUDGET = 210  # bytes of the small one's updates
DEVICES, ROUNDS, SEEDS = 10, 60, (1, 2, 3)
LAST = 5  # rounds whose mean is an accuracy
MOST = 1600  # bytes of a payload, either way
BLOCK = 1024  # Hello.buffer: what that leaves when a message is around it
LOSS = 0.003  # of accuracy: none, as bar 4.1 has it


class Watch(MemoryBroker):
    """Notes the longest payload, the longest message with an update, and the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = self.offer = self.blocks = 0

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """As MemoryBroker.publish."""
        self.longest = max(self.longest, len(payload))
        try:
            message = decode(payload)
        except WireError:
            message = None  # a broker carries anything
        if isinstance(message, Offer):
            self.offer = max(self.offer, len(payload))
        self.blocks += isinstance(message, Block)
        super().publish(topic, payload, retain=retain)


@dataclass(frozen=True, eq=False)
class Work:
    """A network's shape, and its samples scaled to 0 … 1."""

    sizes: tuple[int, ...]
    x: F32
    y: I32

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum((i + 1) * o for i, o in pairwise(self.sizes))


def measure(out: Output) -> Outcome:
    """A codec's accuracy beside float32's, in 300 bytes; and every payload below 1,600."""
    small = _work(SMALL)
    rows: list[Row] = []
    for codec, budget in (("float32", 0), ("microfed", BUDGET)):
        runs = [_run(small, codec, budget, seed) for seed in SEEDS]
        rows.append(_row(small, codec, runs))
        out.line(str(rows[-1]))
    large = _work(LARGE)
    for codec in ("float32", "microfed"):
        rows.append(_row(large, codec, [_run(large, codec, 0, SEEDS[0], rounds=3)]))
        out.line(str(rows[-1]))
    return Outcome(rows, [_bar(*rows)])


def _bar(plain: Row, ours: Row, *large: Row) -> Bar:
    longest = max(row["longest"] for row in large)
    value = (
        f"{ours['offer']} B, {100 * ours['accuracy']:.2f} % (float32 "
        f"{100 * plain['accuracy']:.2f} %); payloads of {longest} B at most, both ways"
    )
    level = ours["accuracy"] >= plain["accuracy"] - LOSS
    claim = (
        f"{ours['parameters']} parameters on the wire; {large[0]['parameters']:,} through a buffer"
    )
    ok = ours["offer"] <= 300 and level and longest <= MOST
    return Bar("4.5", claim, value, f"≤ 300 B, no loss; ≤ {MOST:,} B", ok)


def _row(work: Work, codec: str, runs: list[tuple[float, Watch]]) -> Row:
    accuracies = [accuracy for accuracy, _ in runs]
    watches = [watch for _, watch in runs]
    return {
        "parameters": work.parameters,
        "codec": codec,
        "accuracy": round(float(np.mean(accuracies)), 4),
        "spread": round(float(np.std(accuracies)), 4),
        "offer": max(watch.offer for watch in watches),
        "longest": max(watch.longest for watch in watches),
        "blocks": sum(watch.blocks for watch in watches),
    }


def _work(sizes: tuple[int, ...]) -> Work:
    """The digits that a network of these sizes has an output for, pooled to its inputs."""
    data = load(DataSettings.model_validate({"name": "digits"}))
    chosen = data.y < sizes[-1]
    side = int(np.sqrt(sizes[0]))
    pool = data.x.shape[1] // side
    x = data.x[chosen].reshape(-1, side, pool, side, pool).mean(axis=(2, 4))
    x = (x - x.min()) / (x.max() - x.min())
    return Work(sizes, x.reshape(len(x), -1).astype(np.float32), data.y[chosen])


def _model(sizes: tuple[int, ...], seed: int) -> bytes:
    """Random weights (He et al. 2015), none of them 0: nothing is pruned."""
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in pairwise(sizes):
        codes = np.clip(np.rint(rng.normal(0, 40, (outputs, inputs))), -127, 127).astype(np.int8)
        codes[codes == 0] = 1
        last = outputs == sizes[-1]
        scale, zero = (1 / 8, 0) if last else (1 / 64, -128)
        layers.append(Layer(codes, float(np.sqrt(2 / inputs)) / 40, scale, zero, relu=not last))
    return network(layers, 1 / 255, -128)


def _run(
    work: Work, codec: str, budget: int, seed: int, rounds: int = ROUNDS
) -> tuple[float, Watch]:
    """The accuracy that a fleet comes to, and what the broker saw."""
    order = np.random.default_rng(seed).permutation(len(work.y))
    train, test = order[len(order) // 3 :], order[: len(order) // 3]
    shards = {
        f"dev-{device}": Shard(work.x[own], work.y[own])
        for device, own in enumerate(np.array_split(train, DEVICES))
    }
    wire = WireSettings.model_validate({"codec": codec, "budget_bytes": budget, "block": BLOCK})
    base = _model(work.sizes, seed)
    records: list[RoundRecord] = []

    async def play() -> Watch:
        broker = Watch()
        with tempfile.TemporaryDirectory(prefix="microfed-small-") as folder:
            await asyncio.gather(
                run_fleet(
                    broker=broker,
                    fleet="small",
                    devices=shards,
                    settings=FleetSettings(transport="memory"),
                    seed=seed,
                    wire=wire,
                    trainer=fastest_trainer,
                ),
                aggregate(
                    broker=broker,
                    fleet="small",
                    base=base,
                    run_dir=Path(folder),
                    settings=FederatedSettings(
                        rounds=rounds, epochs=2, batch=16, learning_rate=0.1, momentum=0.5
                    ),
                    wire=wire,
                    expected=DEVICES,
                    seed=seed,
                    evaluate=lambda file: accuracy(file, work.x[test], work.y[test]),
                    on_round=records.append,
                ),
            )
        return broker

    watch = asyncio.run(play())
    return float(np.mean([record.accuracy for record in records[-LAST:]])), watch
