"""What a node's updates left out, when they are refused, forgotten, or power fails."""

import asyncio
from hashlib import sha256

import numpy as np
import pytest

from aggregator.base import runs_of
from device_sim.device import step
from device_sim.events import Connected, Received, Topic, Train, Trained
from device_sim.local_update import LocalUpdate
from device_sim.models import Models
from device_sim.native import Native
from device_sim.shard import Shard
from device_sim.state import Device, Traits
from firmware.node import samples_file
from firmware.node_processes import RunningNodes, Who, start_posix
from mqtt_client.connection import Connection
from tests.node.conftest import MODEL
from wire.base import pack_base
from wire.cbor import decode, encode
from wire.messages import (
    Announce,
    Hello,
    Kind,
    Offer,
    Phase,
    Presence,
    Reason,
    Recipe,
    Status,
    Task,
    Verdict,
)
from wire.objects import manifest_of
from wire.topics import Topics

DEVICE = "dev-00000"
RECIPE = Recipe(epochs=1, batch=8, learning_rate=0.1, momentum=0.5)
# of each round's update; None: the aggregator never answers
VERDICTS = (
    *(Reason.ACCEPTED, Reason.LATE, None, Reason.OUT_OF_RANGE, Reason.ACCEPTED),
    *(None, None, None, None, None, None, Reason.STALE, Reason.ACCEPTED, Reason.ACCEPTED),
)


def task_of(number, digest):
    return Task(number, 0, digest, RECIPE, "microfed", 7 * number, 600, ())


class Desk:
    """An aggregator that opens round after round for one device, and notes its updates."""

    def __init__(self, broker, fleet):
        self.topics, self.round, self.left = Topics(fleet), 1, asyncio.Event()
        self.digest = sha256(MODEL.read_bytes()).digest()
        self.updates: dict[int, list[bytes]] = {}
        self.after = lambda _round: None
        self.connection = Connection(broker, f"{fleet}-desk", on_message=self.hear)
        self.connection.subscribe(*self.topics.from_devices)

    def announce(self):
        phase = Phase.TRAINING if self.round <= len(VERDICTS) else Phase.FINISHED
        self.tell(self.topics.announce, Announce(1, phase, self.round, 0, self.digest), retain=True)

    def task(self):
        self.tell(self.topics.down(DEVICE), task_of(self.round, self.digest))

    def tell(self, topic, message, *, retain=False):
        self.connection.publish(topic, encode(message), retain=retain)

    def hear(self, topic, payload):
        message = decode(payload)
        match message:
            case Presence(_, Status.SLEEPING):
                self.left.set()
            case Hello() if self.round <= len(VERDICTS):
                self.task()
            case Offer() if message.round == self.round and message.data:
                self.judge(message)

    def judge(self, offer):
        self.updates.setdefault(offer.round, []).append(offer.data)
        if self.after(offer.round):
            return  # its power fails before it hears: it will offer again
        verdict = VERDICTS[offer.round - 1]
        if verdict is not None:
            self.tell(self.topics.down(DEVICE), Verdict(offer.round, offer.nonce, verdict))
        self.round += 1
        self.announce()
        if self.round <= len(VERDICTS):
            self.task()


def updates_of(broker, fleet, begin, after) -> dict[int, list[bytes]]:
    """The updates of each round from the device that `begin` starts."""

    async def run():
        desk = Desk(broker.endpoint, fleet)
        desk.after = after
        await desk.connection.connect(5)
        desk.announce()
        begin()
        async with asyncio.timeout(60):
            await desk.left.wait()
        await desk.connection.disconnect()
        return desk.updates

    return asyncio.run(run())


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    return rng.random((20, 8, 8, 1), np.float32), rng.integers(0, 10, 20)


class Simulated:
    """The simulated device at the same desk, without a broker in between."""

    def __init__(self, data, cuts):
        self.shard, self.cuts = Shard(*data), cuts
        models = Models(Native, 1 << 20)
        file = MODEL.read_bytes()
        packed = pack_base(file, runs_of(file))
        self.model = models.base(packed, manifest_of(Kind.BASE, packed), sha256(file).digest())
        self.traits = Traits(
            DEVICE, "x", 1024, 1 << 20, len(self.shard), frozenset({"microfed"}), models
        )
        self.updates: dict[int, list[bytes]] = {}
        self.device = self.fresh(Device(self.traits))

    def fresh(self, before):
        """After a loss of power: the same flash, and nothing else."""
        return Device(self.traits, model=self.model, kept=before.kept, said=before.said)

    def feed(self, event):
        self.device, effects = step(self.device, event, 0.0)
        for effect in effects:
            if isinstance(effect, Train):
                update = LocalUpdate(effect.model, self.shard, effect.task, DEVICE, effect.kept)()
                self.feed(Trained(effect.task, update))

    def run(self):
        digest = self.model.base.digest
        for number, verdict in enumerate(VERDICTS, 1):
            announce = Announce(1, Phase.TRAINING, number, 0, digest)
            for cut in (True, False) if number in self.cuts else (False,):
                self.feed(Connected())
                self.feed(Received(Topic.ANNOUNCE, encode(announce)))
                self.feed(Received(Topic.DOWN, encode(task_of(number, digest))))
                offer = self.device.job.offer
                self.updates.setdefault(number, []).append(offer.data)
                if cut:
                    self.device = self.fresh(self.device)
            if verdict is not None:
                said = Verdict(number, offer.nonce, verdict)
                self.feed(Received(Topic.DOWN, encode(said)))
        return self.updates


@pytest.mark.parametrize("cuts", [(), (3, 4, 9), tuple(range(1, 15))])
def test_refused_and_unanswered_updates_are_made_up_for_as_the_simulator_does(
    mosquitto, program, data, tmp_path, cuts
):
    """Rounds in `cuts`: power fails between an offer and its verdict."""
    endpoint, fleet = mosquitto.endpoint, f"kept-{len(cuts)}"
    done = set()
    with RunningNodes() as nodes:

        def begin():
            who = Who(endpoint.host, endpoint.port, fleet, DEVICE)
            nodes.add(start_posix(program, who, samples_file(*data), tmp_path / "node"))

        def cut(number):
            if number not in cuts or number in done:
                return False
            done.add(number)
            nodes.nodes[DEVICE].kill()
            begin()
            return True

        real = updates_of(mosquitto, fleet, begin, cut)
    assert real == Simulated(data, cuts).run()
    assert len({update for sent in real.values() for update in sent}) == len(VERDICTS)
