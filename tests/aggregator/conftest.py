"""A small honest device, and a rig that joins such devices to a coordinator without a broker."""

import zlib
from collections import deque
from dataclasses import replace
from functools import cache
from hashlib import blake2b, sha256
from pathlib import Path

import numpy as np
import pytest

from aggregator.coordinator import Coordinator
from aggregator.course import Plan, Run
from aggregator.post import Post
from aggregator.registry import Registry
from aggregator.rules import rule_of
from aggregator.settings import FederatedSettings
from aggregator.store import Store
from aggregator.versions import Versions
from tests.aggregator.members import NAMES, Member
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of
from wire.base import unpack_base
from wire.blocks import Assembly, serve
from wire.cbor import decode, encode
from wire.codec import CODECS
from wire.difference import Codes, Frame, apply_difference, check_of
from wire.messages import (
    Announce,
    Block,
    Decline,
    Hello,
    Kind,
    Need,
    Offer,
    Phase,
    Presence,
    Reason,
    Refusal,
    Status,
    Task,
    Verdict,
)
from wire.objects import manifest_of
from wire.settings import WireSettings
from wire.topics import Topics

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOPICS = Topics("lab")


def draw(device: str, number: int, size: int) -> np.ndarray:
    """What stands for training here: the same for the same device and round."""
    seed = zlib.crc32(f"{device} {number}".encode())
    return np.random.default_rng(seed).normal(0, 0.05, size).astype(np.float32)


@cache
def parsed(file: bytes):
    """The layout and the parameters of a model file."""
    graph = read_graph(file)
    layout = layout_of(graph)
    return layout, weights_of(graph, layout)


class Device:
    """Speaks the device's side of the protocol.  `hear` gives (channel, message) to send."""

    def __init__(self, name: str, *, samples: int = 10, buffer: int = 256, declines: bool = False):
        self.name, self.samples, self.buffer, self.declines = name, samples, buffer, declines
        self.session = 0
        self.aggregator = None  # its session
        self.base, self.version = b"", 0
        self.layout = self.codes = None
        self.task = self.offer = self.update = self.assembly = None
        self.pulls: list = []
        self.verdicts: list[Verdict] = []
        self.over = self.finished = False

    def connect(self):
        self.session += 1
        return [("state", Presence(self.session, Status.ONLINE)), self._hello()]

    def hear(self, message):
        match message:
            case Announce(phase=Phase.FINISHED):
                self.over = True
                return self._unsettled() or self._leave()
            case Announce(session=session) if session != self.aggregator:
                self.aggregator = session
                return [self._hello()]
            case Task():
                return self._begin(message)
            case Block() if self.assembly and message.id == self.assembly.manifest.id:
                return self._take(message)
            case Need() if self.offer and message.id == self.offer.manifest.id:
                return [("up", block) for block in serve(message, {message.id: self.update})]
            case Verdict():
                self.verdicts.append(message)
                return self._leave() if self.over else []
        return []

    def _leave(self):
        self.finished = True
        return [("state", Presence(self.session, Status.SLEEPING))]

    def _unsettled(self):
        """The last offer once more, without its data, if its verdict never came."""
        if self.offer is None or self.offer.nonce in {v.nonce for v in self.verdicts}:
            return []
        return [("up", replace(self.offer, data=b""))]

    def _hello(self):
        held = self.base, self.version, self._check()
        return "up", Hello(self.session, 1, self.buffer, self.samples, "test", *held)

    def _check(self):
        return check_of(self.codes) if self.version else 0

    def _begin(self, task):
        if self.declines:
            return [("up", Decline(task.round, Refusal.BATTERY))]
        if self.offer and self.offer.round == task.round:
            return [("up", self.offer)]
        self.task, self.pulls, self.assembly = task, list(task.objects), None
        self.inside = task.data
        if self.base == task.base and task.version == 0:
            self.codes, self.version = self.start, 0
        return self._unsettled() + self._next()

    def _next(self):
        if self.pulls:
            manifest = self.pulls.pop(0)
            if self.inside:
                data, self.inside = (
                    self.inside[: manifest.size],
                    self.inside[manifest.size :],
                )
                return self._hold(manifest, data)
            self.assembly = Assembly(manifest, self.buffer)
            return [("up", self.assembly.missing())]
        return [("up", self._train())]

    def _take(self, block):
        self.assembly.add(block)
        if not self.assembly.done:
            need = self.assembly.missing()
            # A window of eight: ask again when its last block has come.
            return [("up", need)] if (block.index + 1) % 8 == 0 else []
        manifest, data, self.assembly = self.assembly.manifest, self.assembly.result(), None
        return self._hold(manifest, data)

    def _hold(self, manifest, data):
        if manifest.kind is Kind.BASE:
            file = unpack_base(data, 2**20)
            self.base, self.version = sha256(file).digest(), 0
            self.layout, weights = parsed(file)
            self.codes = self.start = Codes(weights.codes, weights.scales)
        else:
            if manifest.source == 0:
                self.codes, self.version = self.start, 0
            assert manifest.source == self.version
            frame = Frame(self.layout.mask, self.layout.channels)
            self.codes = apply_difference(data, self.codes, frame)
            self.version = manifest.target
        return self._next()

    def _train(self):
        task, mask = self.task, self.layout.mask
        held = self.base, self.version, self._check()
        assert held == (task.base, task.version, task.check)
        stops = [int(mask[: slot.stop].sum()) for slot in self.layout.slots]
        delta = draw(self.name, task.round, int(mask.sum()))
        self.update = CODECS[task.codec].encode(delta, (0, *stops))
        self.offer = self.make_offer(task, self.update)
        return self.offer

    def make_offer(self, task, update, **fields):
        """An offer of `update`, inline if it is short; `fields` spoil it."""
        seed = f"{self.name} {task.seed} {task.round}".encode()
        offer = Offer(
            round=task.round,
            nonce=blake2b(seed, digest_size=8).digest(),
            version=task.version,
            codec=task.codec,
            samples=self.samples,
            loss_before=1.5,
            loss_after=0.5,
            manifest=manifest_of(Kind.UPDATE, update),
            data=update if len(update) <= self.buffer else b"",
            check=task.check,
        )
        return replace(offer, **fields)


def accuracy_of(file: bytes) -> float:
    """Stands for an evaluation: a number that only this file has."""
    return zlib.crc32(file) / 2**32


class Rig:
    """A coordinator, devices, and a broker that is a queue.  `heart` beats at every effect."""

    def __init__(
        self, directory: Path, settings: FederatedSettings, wire: WireSettings, *, wanted: int
    ):
        self.directory, self.settings, self.wire, self.wanted = directory, settings, wire, wanted
        self.base = (FIXTURES / "conv.tflite").read_bytes()
        self.now = 0.0
        self.devices: dict[str, Device] = {}
        self.gone: set[str] = set()
        self.queue: deque = deque()  # (device, message) on the way down
        self.sent: list = []  # (device, message): all that ever went to one device
        self.announced: list[Announce] = []
        self.records: list = []
        self.file = self.base
        self.heart = lambda: None

    @property
    def course(self):
        return self.coordinator.course

    def start(self, store=Store):
        self.store = store(self.directory, {"seed": 1})
        self.versions = Versions(self.base, self.store.weights, self.settings.train)
        loaded = self.store.load()
        if loaded is None:
            loaded = self.store.begin(
                self.versions.first(rule_of(self.settings)), accuracy_of(self.base)
            )
        plan = Plan(self.settings, self.wire, self.wanted, seed=1)
        run = Run(plan, TOPICS, self.versions, self.store, loaded, self.records.append)
        registry = Registry(self.settings.max_devices)
        self.post = Post(TOPICS, self.store, registry, self.publish, lambda: False, loaded.totals)
        self.coordinator = Coordinator(run, registry, self.post, self.now)
        self.coordinator.connected(self.store.next_session(), self.now)
        return self

    def stop(self):
        """Clean or not, it is the same: what is not committed is lost."""
        self.store.close()

    def add(self, *devices: Device):
        self.devices |= {device.name: device for device in devices}
        for device in devices:
            self.up(device.name, device.connect())
        return self

    def publish(self, topic, payload, *, retain):
        self.heart()
        message = decode(payload)
        if topic == TOPICS.announce:
            self.announced.append(message)
            self.queue += [(name, message) for name in self.devices]
        elif topic != TOPICS.aggregator_state:
            name = topic.split("/")[4]
            self.sent.append((name, message))
            self.queue.append((name, message))
        self.heart()
        return True

    def up(self, name, messages):
        for channel, message in messages:
            self.raw(f"{TOPICS.up(name).removesuffix('up')}{channel}", encode(message))

    def say(self, name, *messages):
        """A device says something; what it is told in return, after the commit."""
        before = len(self.sent)
        self.up(name, [("up", message) for message in messages])
        self.post.flush()
        return [message for to, message in self.sent[before:] if to == name]

    def raw(self, topic, payload):
        self.coordinator.handle(topic, payload, self.now)
        self.work()

    def work(self):
        """What the service does between messages."""
        if self.course.making:
            made = self.course.make(accuracy_of)
            self.coordinator.made(made, self.now)
            self.file = self.versions.file(made.model.weights)

    def pump(self, *, until=None):
        """Let messages flow until there are none, or a condition holds."""
        while True:
            self.post.flush()
            if not self.queue or (until and until()):
                return self
            name, message = self.queue.popleft()
            if name in self.devices and name not in self.gone:
                self.up(name, self.devices[name].hear(message))

    def wait(self, seconds):
        self.now += seconds
        self.coordinator.tick(self.now)
        self.work()
        return self.pump()

    def refusals(self):
        """Counted refusals by reason, as they are in the store."""
        self.post.flush()
        rows = self.store._db.execute("SELECT reason, sum(count) FROM refusals GROUP BY reason")
        return {Reason(reason): count for reason, count in rows}

    def current_file(self):
        return self.versions.file(self.store.weights(self.course.model.version))


def tasks(rig, name):
    """The tasks that a device was sent."""
    return [message for to, message in rig.sent if to == name and isinstance(message, Task)]


def asking(rig, device, **settings):
    """A rig with a round open for `a` and `b`, who hold the model; what they offered is forgotten."""
    world = rig(wanted=2, codec="float32", **settings).add(device("a"), device("b"))
    silent = {"a", "b"}
    world.pump(until=lambda: all(world.devices[name].layout for name in silent))
    world.queue.clear()
    world.coordinator._transfers.clear()
    return world


@pytest.fixture
def rig(tmp_path):
    """rig(wanted=2, rounds=3, ...) is a started rig; settings by name, codec= and block= too."""
    rigs = []

    def make(*, wanted=2, start=True, directory=None, **fields):
        wire = WireSettings(**{k: fields.pop(k) for k in ("codec", "block") if k in fields})
        settings = FederatedSettings(**({"rounds": 3, "deadline": 10.0} | fields))
        made = Rig(directory or tmp_path / "run", settings, wire, wanted=wanted)
        rigs.append(made)
        return made.start() if start else made

    yield make
    for each in rigs:
        if hasattr(each, "store"):
            each.store.close()


@pytest.fixture
def device():
    """The class of test devices."""
    return Device


@pytest.fixture
def asked(rig, device):
    """What `asking` gives with the default settings."""
    return asking(rig, device)


@pytest.fixture
def fleet(device, unique):
    """fleet(broker) connects four devices and gives them by name."""
    name = unique.replace("_", "-")[:32]

    async def connect(broker, think=0.0, **kinds):
        made = {n: device(n, samples=10 + i, **kinds.get(n, {})) for i, n in enumerate(NAMES)}
        members = {n: Member(each, broker, name, think) for n, each in made.items()}
        for member in members.values():
            await member.connection.connect(5)
        return members

    connect.name = name
    return connect


@pytest.fixture
def expected(rig, device, tmp_path):
    """expected(rounds) is the model of a run that nothing ever went wrong with."""

    def make(rounds):
        world = rig(wanted=4, rounds=rounds, directory=tmp_path / "undisturbed")
        world.add(*(device(n, samples=10 + i) for i, n in enumerate(NAMES))).pump()
        assert world.course.model.version == rounds
        return world.file

    return make
