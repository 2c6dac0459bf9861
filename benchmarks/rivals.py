"""Bar 2.6: the closest rivals on the same work, from their published wire formats.

One rival, an ESP32 library with a server over MQTT, sends raw float32 behind
a 12-byte header.  Another, a Python library, sends JSON lists of numbers both
ways.  Neither is installed here: their formats are written out below, without
anything else that they do, so the times are kind to them.  Updates are
Gaussian: what an entropy coder likes least.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aggregator.records import read_record
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from benchmarks.bars import Bar, Outcome, Row
from benchmarks.command import microfed
from cli.output import Output
from device_sim.fleet import Shard, run_fleet
from device_sim.settings import FleetSettings
from device_sim.trainer import F32, Labels, Trained
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.endpoint import Endpoint
from tflite_models.graph import Graph
from tflite_models.parameters import Layout
from wire.cbor import encode
from wire.codec import CODECS
from wire.messages import MAX_BLOCK, NONCE_BYTES, Kind, Offer, Recipe
from wire.objects import manifest_of
from wire.settings import WireSettings

SMALL = 259
LARGE = 235_146  # 784-256-128-10
CLIENTS = 5
ROUNDS = 3
HEADER = 12
SEED = 1
PACKET = 16 * 1024 * 1024
PUBLISHED = "1,048 B, 5.1 MB, 6.2 to 9.3 s"


def measure(out: Output) -> Outcome:
    """Bytes of a small and a large update, and seconds a round without training."""
    random = np.random.default_rng(SEED)
    small = random.normal(0, 0.01, SMALL).astype(np.float32)
    large = random.normal(0, 0.01, LARGE).astype(np.float32)
    rows: list[Row] = [
        {"update": SMALL, "theirs": HEADER + small.nbytes, "ours": len(_offer(small))},
        {"update": LARGE, "theirs": len(_as_json(large)), "ours": len(_offer(large))},
    ]
    out.line(str(rows))
    with tempfile.TemporaryDirectory(prefix="microfed-rivals-") as folder:
        model = microfed("build", str(_config(Path(folder))), "--out", folder)["model"]
        base = Path(model).read_bytes()
        with start(BrokerSettings(kind="mosquitto", max_packet=PACKET), Path(folder)) as broker:
            theirs = asyncio.run(_json_round(broker.endpoint, large))
            ours = asyncio.run(_our_rounds(broker.endpoint, base, Path(folder) / "run"))
    rows.append({"clients": CLIENTS, "seconds a round, theirs": round(theirs, 2), **ours})
    small_row, large_row, round_row = rows
    value = (
        f"{small_row['ours']} B, {large_row['ours']:,} B, {round_row['seconds a round, ours']} s "
        f"(theirs here: {small_row['theirs']:,} B, {large_row['theirs']:,} B, {theirs:.2f} s)"
    )
    better = all(row["ours"] < row["theirs"] for row in rows[:2])
    faster = round_row["seconds a round, ours"] < theirs
    claim = f"bytes for {SMALL} and {LARGE:,} parameters; seconds a round"
    bar = Bar("2.6", claim, value, f"below theirs: {PUBLISHED}", better and faster)
    return Outcome(rows, [bar])


def _offer(delta: F32) -> bytes:
    """The update inside its offer, or, too long for a message, the offer and what it names."""
    data = CODECS["int8"].encode(delta, (0, len(delta)))
    offer = Offer(1, bytes(NONCE_BYTES), 0, "int8", 100, 1.0, 0.5, manifest_of(Kind.UPDATE, data))
    if len(data) <= MAX_BLOCK:
        return encode(replace(offer, data=data))
    return encode(offer) + data


def _as_json(values: F32) -> bytes:
    return json.dumps({"weights": values.tolist()}).encode()


async def _json_round(endpoint: Endpoint, update: F32) -> float:
    """Seconds of a round in which every float crosses the broker as text."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    returned: asyncio.Queue[bytes] = asyncio.Queue()
    server = Connection(
        endpoint, "server", on_message=lambda _, p: arrived.put_nowait(p), max_packet=PACKET
    )
    server.subscribe("rival/up")
    clients = [
        Connection(
            endpoint, f"c{i}", on_message=lambda _, p: returned.put_nowait(p), max_packet=PACKET
        )
        for i in range(CLIENTS)
    ]
    for client in clients:
        client.subscribe("rival/down")
    for connection in (server, *clients):
        await connection.connect(10.0)
    started = time.monotonic()
    for client in clients:
        client.publish("rival/up", _as_json(update))
    updates = [json.loads(await arrived.get())["weights"] for _ in clients]
    mean: F32 = np.asarray(np.mean(updates, axis=0), np.float32)
    server.publish("rival/down", _as_json(mean))
    for _ in clients:
        np.asarray(json.loads(await returned.get())["weights"], np.float32)
    seconds = time.monotonic() - started
    for connection in (server, *clients):
        await connection.disconnect()
    return seconds


@dataclass(frozen=True)
class Untrained:
    """A Trainer whose training is a Gaussian step: all of a round but the training."""

    graph: Graph
    layout: Layout

    def predict(self, weights: F32, x: F32) -> F32:
        """Nothing is predicted."""
        raise NotImplementedError

    def train(self, weights: F32, x: F32, y: Labels, recipe: Recipe, seed: int) -> Trained:  # noqa: ARG002
        """Return the weights, moved at random where they are not pruned."""
        step = np.random.default_rng(seed).normal(0, 0.001, len(weights)).astype(np.float32)
        return Trained(weights + step * self.layout.mask, len(y), 1.0, 1.0)


async def _our_rounds(endpoint: Endpoint, base: bytes, run: Path) -> Row:
    wire = WireSettings(block=16 * 1024)
    shard = Shard(np.zeros((1, 28, 28, 1), np.float32), np.zeros(1, np.int32))
    await asyncio.gather(
        aggregate(
            broker=endpoint,
            fleet="rivals",
            base=base,
            run_dir=run,
            settings=FederatedSettings(rounds=ROUNDS),
            wire=wire,
            expected=CLIENTS,
            seed=SEED,
            evaluate=lambda _: 0.0,
            on_round=lambda _: None,
        ),
        run_fleet(
            broker=endpoint,
            fleet="rivals",
            devices={f"c{i}": shard for i in range(CLIENTS)},
            settings=FleetSettings(),
            seed=SEED,
            wire=wire,
            trainer=Untrained,
        ),
    )
    rounds = read_record(run).rounds
    return {
        "seconds a round, ours": round(max(r.seconds for r in rounds), 2),
        "our bytes up and down": [rounds[-1].bytes_up, rounds[-1].bytes_down],
    }


def _config(folder: Path) -> Path:
    path = folder / "rivals.toml"
    path.write_text(
        'name = "rivals"\n[data]\nname = "mnist"\n'
        '[model]\narchitecture = "mlp"\nwidth = 256\nepochs = 1\ncentral = false\n'
        "[prune]\nsparsity = 0.0\n[quantize]\nepochs = 1\ncompare = false\n",
        encoding="utf-8",
    )
    return path
