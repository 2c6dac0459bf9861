"""A small model in a few versions, and a device on the workbench: no broker, no clock, no training."""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from device_sim.device import step
from device_sim.events import Connected, Publish, Received, Refused, Tick, Topic, Trained, Update
from device_sim.models import Models
from device_sim.shard import Shard
from device_sim.state import Device, Traits
from device_sim.twin import Twin
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of
from wire.base import pack_base
from wire.blocks import WINDOW, Assembly, serve
from wire.cbor import decode, encode
from wire.difference import Codes, Frame, check_of, encode_difference
from wire.messages import (
    Announce,
    Block,
    Decline,
    Hello,
    Kind,
    Need,
    Offer,
    Phase,
    Reason,
    Recipe,
    Task,
    Verdict,
)
from wire.objects import manifest_of

RECIPE = Recipe(epochs=1, batch=8, learning_rate=0.0625)


class World:
    """What the aggregator has: a base file of 20 blocks, and versions 0 to 3 of its parameters."""

    def __init__(self, fixtures: Path) -> None:
        # Bytes behind the file change nothing but its length.
        filler = np.random.default_rng(1).bytes(3200)
        self.file = (fixtures / "conv.tflite").read_bytes() + filler
        self.digest = sha256(self.file).digest()
        graph = read_graph(self.file)
        self.layout = layout_of(graph)
        self.frame = Frame(self.layout.mask, self.layout.channels)
        self.packed = pack_base(self.file)
        self.base = manifest_of(Kind.BASE, self.packed)
        start = weights_of(graph, self.layout)
        self.codes = [
            Codes(np.where(self.layout.mask, start.codes + v, 0).astype(np.int32), start.scales)
            for v in range(4)
        ]
        self.codes[0] = Codes(start.codes, start.scales)
        self.objects = {self.base.id: self.packed}

    def difference(self, source, target):
        """The manifest of a difference, which `objects` has from then on."""
        data = encode_difference(self.codes[source], self.codes[target], self.frame)
        manifest = manifest_of(Kind.DIFFERENCE, data, source, target)
        self.objects[manifest.id] = data
        return manifest

    def task(self, number=1, version=0, **fields):
        """A task that needs nothing unless `objects` says so."""
        fields = {
            "recipe": RECIPE,
            "codec": "int8",
            "seed": 7,
            "deadline": 60,
            "objects": (),
            "check": check_of(self.codes[version]) if version else 0,
        } | fields
        return Task(number, version, self.digest, **fields)

    def announce(self, number=1, phase=Phase.TRAINING, session=1, version=0):
        return Announce(session, phase, number, version, self.digest)

    def blocks(self, need, kept=lambda index: True):
        """The answer to a Need."""
        return [block for block in serve(need, self.objects) if kept(block.index)]


@dataclass
class Bench:
    """A device, and all that it did."""

    device: Device
    now: float = 100.0
    done: list = field(default_factory=list)

    def feed(self, event):
        """Let something happen; the effects."""
        self.device, effects = step(self.device, event, self.now)
        self.done += effects
        return list(effects)

    def hear(self, *messages):
        """Messages from the aggregator; what the device sends in return."""
        answers = []
        for message in messages:
            topic = Topic.ANNOUNCE if isinstance(message, Announce) else Topic.DOWN
            answers += self.feed(Received(topic, encode(message)))
        return sent(answers)

    def wait(self):
        """Let the time come that the device waits for; what it sends then."""
        self.now = max(self.device.wake, self.now)
        return sent(self.feed(Tick()))

    def connect(self):
        """A new session; what the device sends."""
        return sent(self.feed(Connected()))

    def train(self, data=b"update", samples=5):
        """Training comes to an end; what the device sends."""
        update = Update(data, samples, 2.0, 1.0)
        return sent(self.feed(Trained(self.device.job.task, update)))

    def pull(self, world, answers):
        """Answer every Need until there are no more; what the device did last."""
        while answers and isinstance(answers[-1], Need):
            answers = self.hear(*world.blocks(answers[-1]))
        return answers

    def did(self, kind):
        """The effects of one class so far."""
        return [effect for effect in self.done if isinstance(effect, kind)]

    @property
    def refusals(self):
        return [effect.kind for effect in self.did(Refused)]


class Script:
    """An aggregator that runs a round after the other with all of `devices`, written for tests.

    A version a round, one update from each device a round; whoever offers what
    was taken before gets the same verdict again.
    """

    def __init__(self, world, devices, rounds=3, block=256, codec="int8"):
        self.world, self.devices, self.rounds, self.block = world, devices, rounds, block
        self.codec = codec
        self.session = 1
        self.number = 1
        self.hellos = {}
        self.taken = {}  # (device, round, nonce): (offer, data)
        self.coming = {}  # device: (offer, Assembly)
        self.declined = []

    def announce(self):
        phase = Phase.TRAINING if self.number <= self.rounds else Phase.FINISHED
        version = min(self.number, self.rounds) - 1
        return self.world.announce(version + 1, phase, self.session, version)

    def hear(self, device, message):
        """The answers: (device, message), or (None, message) for all."""
        match message:
            case Hello():
                self.hellos[device] = message
                return self.tasks([device])
            case Need():
                return [(device, block) for block in serve(message, self.world.objects)]
            case Offer():
                return self.offered(device, message)
            case Block():
                return self.got(device, message)
            case Decline():
                self.declined.append((device, message))
        return []

    def tasks(self, devices):
        done = {device for device, number, _ in self.taken if number == self.number}
        wanted = [d for d in devices if d in self.hellos and d not in done]
        return [(d, self.task(d)) for d in wanted if self.number <= self.rounds]

    def task(self, device):
        hello, target, objects = self.hellos[device], self.number - 1, []
        held = hello.version
        if hello.base != self.world.digest:
            objects, held = [self.world.base], 0
        if held != target:
            objects.append(self.world.difference(held, target))
        terms = {"codec": self.codec, "deadline": 10_000, "objects": tuple(objects)}
        return self.world.task(self.number, target, **terms)

    def offered(self, device, offer):
        name = offer.round, offer.nonce
        if (device, *name) in self.taken:
            return [(device, Verdict(*name, Reason.ACCEPTED))]
        if offer.round != self.number:
            return [(device, Verdict(*name, Reason.LATE))]
        if offer.data:
            return self.take(device, offer, offer.data)
        if device not in self.coming or self.coming[device][0] != offer:
            self.coming[device] = offer, Assembly(offer.manifest, self.block)
        return [(device, self.coming[device][1].missing())]

    def got(self, device, block):
        offer, assembly = self.coming.get(device, (None, None))
        if offer is None or block.id != offer.manifest.id:
            return []
        assembly.add(block)
        if assembly.done:
            return self.take(device, offer, assembly.result())
        need = assembly.missing()
        return [(device, need)] if need.first % WINDOW == 0 else []

    def take(self, device, offer, data):
        self.taken[device, offer.round, offer.nonce] = offer, data
        self.coming.pop(device, None)
        held = {"base": self.world.digest, "version": offer.version}
        self.hellos[device] = replace(self.hellos[device], **held)
        verdict = (device, Verdict(offer.round, offer.nonce, Reason.ACCEPTED))
        if sum(number == self.number for _, number, _ in self.taken) < len(self.devices):
            return [verdict]
        self.number += 1
        return [verdict, (None, self.announce()), *self.tasks(self.devices)]


def sent(effects):
    """The messages among effects, as they look after a journey in bytes."""
    return [decode(encode(e.message)) for e in effects if isinstance(e, Publish)]


def verdict_on(offer, reason=Reason.ACCEPTED):
    return Verdict(offer.round, offer.nonce, reason)


@pytest.fixture(scope="session")
def world():
    return World(Path(__file__).parents[1] / "fixtures")


@pytest.fixture
def script(world):
    """script(devices, rounds=..., block=...) is an aggregator for them."""
    return lambda *args, **kwargs: Script(world, *args, **kwargs)


@pytest.fixture
def bench():
    """bench(samples=0) is a device that is connected; its traits may be given."""

    def make(**fields):
        traits = Traits(
            id="dev-1",
            board="esp32",
            buffer=256,
            flash=2**20,
            samples=5,
            codecs=frozenset({"int8", "float32"}),
            models=Models(Twin, 2**20),
        )
        bench = Bench(Device(replace(traits, **fields)))
        bench.connect()
        return bench

    return make


@pytest.fixture
def ready(bench, world):
    """A device that holds version 0, has heard of round 1 and has nothing to do."""
    made = bench()
    made.hear(world.announce(0, Phase.WAITING))
    made.pull(world, made.hear(world.task(1, 0, objects=(world.base,))))
    made.device = made.device._replace(job=None)
    made.done.clear()
    return made


@pytest.fixture
def shards(rng):
    """shards(n) is what n devices hold: 8 to 15 samples each, random."""

    def make(n):
        sizes = {f"dev-{i:04}": 8 + i % 8 for i in range(n)}
        return {
            name: Shard(rng.random((size, 8, 8, 1), np.float32), rng.integers(0, 5, size))
            for name, size in sizes.items()
        }

    return make
