"""Federated rounds without a broker, over the real pieces: what a codec costs in accuracy.

Training is the devices', error feedback theirs, the sum, the rule and the requantisation the
aggregator's, and the accuracy that of the int8 file.  Payload bytes are those of updates, and
of the objects that a device pulls: the base file the first time, and differences from what it
holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aggregator.accumulate import Accumulator, plausible
from aggregator.course import recipe_of
from aggregator.rules import Rule, rule_of
from aggregator.selection import Candidates, cohort_size, task_seed
from aggregator.versions import Held, Versions
from cli.config import Experiment, load
from cli.shares import shares_of
from core.int8 import Int8Model
from device_sim.feedback import Kept, left_out, owed
from device_sim.local_update import training_seed
from device_sim.native import Native
from tflite_models.graph import read_graph
from tflite_models.interpreter import quantize
from tflite_models.layout import layout_of
from tflite_models.parameters import Weights, patch, to_float
from tflite_models.scope import ALL, scope_of
from wire.codec import CODECS, Codec
from wire.messages import Kind, Manifest

OWN = ("microfed", "peaks")  # codecs of this project
ROOT = Path(__file__).parent.parent
Curve = NDArray[np.float64]
Recorder = list[tuple[NDArray[np.float32], bytes]]


@dataclass(frozen=True)
class Contender:
    """A codec as it is used: its budget, and the rule that the server has with it."""

    codec: str
    budget: int = 0  # bytes of an update; 0: the codec's choice
    momentum: float = 0.0  # of the server; 0: FedAvg
    rate: float = 1.0  # of the server

    @property
    def label(self) -> str:
        """What tables call it."""
        budget = f" {self.budget} B" if self.budget else ""
        momentum = f" β={self.momentum:g}" if self.momentum else ""
        rate = f" η={self.rate:g}" if self.rate != 1.0 else ""
        return f"{self.codec}{budget}{momentum}{rate}"


@dataclass(frozen=True, eq=False)
class Played:
    """One run: of every round the accuracy after it, and the bytes of all devices in it."""

    accuracy: Curve
    up: Curve
    down: Curve
    flashed: Curve  # down, for boards that were flashed with the base file


class Ground:
    """An example's model, data and recipe."""

    def __init__(self, name: str) -> None:
        self.experiment: Experiment = load(ROOT / "examples" / f"{name}.toml")
        self.file = (ROOT / "tflite_models" / name / "model.tflite").read_bytes()
        graph = read_graph(self.file)
        self.layout = layout_of(graph)
        self.trainer = Native(graph, self.layout)
        self.bounds = scope_of(self.layout, ALL).bounds
        shares = shares_of(self.experiment)
        data, split = shares.dataset, shares.split
        self.shards = {
            device: (data.x[own], data.y[own])
            for device, own in zip(shares.devices, split.clients, strict=True)
        }
        self._labels = data.y[split.test]
        model = Int8Model(self.file)
        assert model.input.quantization is not None
        self._inputs = quantize(data.x[split.test], model.input.quantization)

    @property
    def size(self) -> int:
        """Values in an update."""
        return self.bounds[-1]

    def accuracy(self, weights: Weights) -> float:
        """Of the int8 file with these weights, on the test."""
        outputs = Int8Model(patch(self.file, self.layout, weights)).run(self._inputs)
        classes = outputs.reshape(len(self._labels), -1).argmax(axis=1)
        return float((classes == self._labels).mean())

    def rule(self, contender: Contender) -> Rule:
        """FedAvg, with momentum and the rate that the contender has."""
        update = {
            "rule": "fedavgm" if contender.momentum else "fedavg",
            "server_momentum": contender.momentum,
            "server_learning_rate": contender.rate,
        }
        return rule_of(self.experiment.federated.model_copy(update=update))


def play(
    ground: Ground, contender: Contender, rounds: int, seed: int, seen: Recorder | None = None
) -> Played:
    """One run of so many rounds; `seed` chooses cohorts and orders of samples.

    `seen` is given every update: what it owed, and its bytes.
    """
    fleet = _Fleet(ground, contender, seed, seen)
    accuracy, up, down, flashed = np.zeros((4, rounds))
    for i in range(rounds):
        up[i], down[i], flashed[i] = fleet.round(i + 1)
        accuracy[i] = ground.accuracy(fleet.model.weights)
    return Played(accuracy, up, down, flashed)


class _Fleet:
    """The model's versions, and what every device holds and keeps."""

    def __init__(
        self, ground: Ground, contender: Contender, seed: int, seen: Recorder | None
    ) -> None:
        self._seen = seen
        self._ground, self._contender, self._seed = ground, contender, seed
        self._codec: Codec = CODECS[contender.codec]
        self._rule = ground.rule(contender)
        self._made: list[Weights] = []
        self._versions = Versions(ground.file, self._made.__getitem__)
        self.model = self._versions.first(self._rule)
        self._made.append(self.model.weights)
        self._kept: dict[str, Kept] = {}
        self._held: dict[str, Held] = {}  # by devices

    def round(self, number: int) -> tuple[int, int, int]:
        """Train, aggregate, make the next version; bytes up, down, and down without the base."""
        ground = self._ground
        everyone = ground.shards
        size = cohort_size(ground.experiment.federated.cohort, len(everyone))
        cohort = Candidates(everyone).choose(size, self._seed, number)
        pulled = [manifest for device in cohort for manifest in self._deliver(device)]
        down = sum(manifest.size for manifest in pulled)
        base = sum(manifest.size for manifest in pulled if manifest.kind is Kind.BASE)
        total = Accumulator(ground.size, len(cohort))
        floats = to_float(ground.layout, self.model.weights)
        up = sum(self._work(device, number, floats, total) for device in cohort)
        self.model = self._versions.advance(self.model, total.mean(), self._rule)
        self._made.append(self.model.weights)
        return up, down, down - base

    def _deliver(self, device: str) -> tuple[Manifest, ...]:
        """What a device pulls to hold the newest version."""
        newest = self.model.version
        held = self._held.get(device, Held(b"", 0, 0))
        self._held[device] = Held(self._versions.digest, newest, self._versions.check(newest))
        return self._versions.objects_for(held, newest)

    def _work(
        self, device: str, number: int, floats: NDArray[np.float32], total: Accumulator
    ) -> int:
        """One device's update, added to the sum; its bytes."""
        ground, codec = self._ground, self._codec
        x, y = ground.shards[device]
        seed = training_seed(device, task_seed(self._seed, number))
        trained = ground.trainer.train(
            floats, x, y, recipe_of(ground.experiment.federated, number - 1), seed
        )
        delta = (trained.weights - floats)[ground.layout.mask]
        owing = owed(delta, self._kept.get(device), b"", ground.bounds)
        data = codec.encode(owing, ground.bounds, self._contender.budget, seed)
        sent = codec.decode(data, ground.size, ground.bounds)
        if self._seen is not None:
            self._seen.append((owing, data))
        if codec.feedback:
            self._kept[device] = Kept(b"", ground.bounds, left_out(owing, sent))
        total.add(plausible(sent), trained.samples)
        return len(data)
