"""A run, message by message: what devices say goes in, what they are told comes out.

Holds the pieces together and does no I/O but through Store and Post: the
service gives it payloads and the time, and so may a test.  Everything happens
in the caller's thread; only `course.make` may run in another while messages
go on being handled.
"""

from __future__ import annotations

import logging
import math

from aggregator.course import Course, Made, Run
from aggregator.intake import Content, OfGateway, judge, read
from aggregator.post import Post
from aggregator.records import RoundRecord
from aggregator.registry import Registry
from aggregator.round import (
    Abandon,
    Answer,
    BadMessage,
    Close,
    Count,
    Effect,
    Event,
    Fetch,
    FromDevice,
    Invite,
    Judged,
    Persist,
    RoundState,
    Send,
    Stage,
    Tick,
    step,
)
from aggregator.transfers import Pulled, Transfers
from aggregator.versions import Held
from wire.cbor import encode
from wire.messages import (
    PROTOCOL,
    TASK_ROOM,
    Announce,
    Block,
    Decline,
    Hello,
    Manifest,
    Need,
    Offer,
    Phase,
    Presence,
    Reason,
)

# A device says hello when it connects, and again when the retained announcement that
# reaches it then names a session that it does not know.
HELLO_TWICE = 2.0  # seconds

log = logging.getLogger(__name__)


class Coordinator:
    """The run itself, beginning where `run.loaded` says it stands."""

    def __init__(self, run: Run, registry: Registry, post: Post, now: float) -> None:
        self.course = Course(run, now)
        self._topics = run.topics
        self._versions = run.versions
        self._store = run.store
        self._post = post
        self._block = run.plan.wire.block
        self._on_round = run.on_round
        self._registry = registry
        self._transfers = Transfers()
        # The tasks of a round and a deadline in seconds: by what there is to pull, and whether
        # it is inside.
        self._tasks: tuple[tuple[int, int], dict[tuple[tuple[Manifest, ...], bool], bytes]]
        self._tasks = (0, 0), {}
        self._session = 0  # until the first connect nothing is announced
        self._state, effects = self.course.resume(run.loaded, now)
        self._execute(effects, now)

    @property
    def state(self) -> RoundState:
        """The round as it stands."""
        return self._state

    @property
    def online(self) -> int:
        """Devices that are there."""
        return self._registry.online

    @property
    def known(self) -> int:
        """Devices that have said hello to this process."""
        return len(self._registry)

    @property
    def awake(self) -> int:
        """Known devices that have not said that they leave."""
        return self._registry.awake

    def connected(self, session: int, now: float) -> None:
        """The connection is new: who is there is not known; all say hello to a new session."""
        self._session = session
        self._registry.all_gone(now)
        self._post.all_gone()
        self._announce()

    def handle(self, topic: str, payload: bytes, now: float) -> None:
        """Take one MQTT message, whatever it is."""
        self._post.received(payload)
        device, message = read(self._topics, topic, payload)
        match message:
            case Presence():
                if self._registry.presence(device, message, now):
                    self._post.went(device)
            case OfGateway(presence):
                for gone in self._registry.gateway(device, presence, now):
                    self._post.went(gone)
                return  # its bytes are nobody's of the devices
            case Hello():
                self._greet(device, message, now)
            case Need():
                self._serve(device, message)
            case Block():
                self._collect(device, message, now)
            case Offer() | Decline():
                self._step(FromDevice(device, message), now)
            case Reason():
                self._step(BadMessage(device, message), now)
            case _:
                raise AssertionError(f"read() lets no {type(message).__name__} through")
        self._post.came_from(device, payload)

    def tick(self, now: float) -> None:
        """Let time pass: deadlines, and Needs that got no answer."""
        self._step(Tick(), now)
        for device, need in self._transfers.due(now):
            peer = self._registry.get(device)
            if peer is not None and peer.online:
                self._post.send(device, need)
        self._open_if_ready(now)

    def made(self, made: Made, now: float) -> None:
        """Go on from a new version."""
        record = self.course.made(made, self._state, self._post.totals, now)
        self._round_over(record, now)

    def _greet(self, device: str, hello: Hello, now: float) -> None:
        before = self._registry.get(device)
        there = before if before and before.online else None
        if there and there.would_say(hello) and now - there.since < HELLO_TWICE:
            return  # it has its Task, and needs no other
        if hello.protocol != PROTOCOL:
            self._count(device, Reason.UNSUPPORTED)
        elif not self._registry.hello(device, hello, now, self._state.terms.cohort):
            self._count(device, Reason.STALE if before else Reason.FOREIGN)
        else:
            if not (there and there.hello.session == hello.session):
                self._post.came_online(device)
            self._step(FromDevice(device, hello), now)
            self._open_if_ready(now)

    def _serve(self, device: str, need: Need) -> None:
        if self._post.crowded():
            return  # it asks again
        if device not in self._registry:
            self._count(device, Reason.FOREIGN)
            return
        blocks = self._versions.serve(need)
        if blocks is None:
            self._count(device, Reason.STALE)
            return
        for payload in blocks:
            self._post.send_payload(device, payload)

    def _collect(self, device: str, block: Block, now: float) -> None:
        match self._transfers.take(device, block, now):
            case Pulled(offer, payload):
                self._judge(device, offer, payload, now)
            case Need() as need:
                self._post.send(device, need)
            case Reason() as reason:
                self._count(device, reason)

    def _step(self, event: Event, now: float) -> None:
        self._state, effects = step(self._state, event, now)
        self._execute(effects, now)

    def _execute(self, effects: tuple[Effect, ...], now: float) -> None:
        for effect in effects:
            match effect:
                case Invite(device):
                    self._invite(device, now)
                case Fetch(device, offer):
                    self._fetch(device, offer, now)
                case Persist(device, answer, content):
                    self._persist(device, answer, content)
                case Send(device, message):
                    self._post.send(device, message)
                case Count(device, reason):
                    self._count(device, reason)
                case Close():
                    self._transfers.clear()
                    self.course.close()
                case Abandon():
                    self._transfers.clear()
                    record = self.course.abandon(self._state, self._post.totals, now)
                    self._round_over(record, now)

    def _invite(self, device: str, now: float) -> None:
        peer = self._registry.get(device)
        if peer is None or not peer.online:
            return  # its Hello will bring it here again
        objects = self._versions.objects_for(peer.held, self._state.terms.version)
        room = min(peer.hello.buffer, self._block) - TASK_ROOM
        short = 0 < sum(manifest.size for manifest in objects) <= room
        inside = short and not self._post.crowded()  # else it asks for them, and again
        seconds = max(math.ceil(self._state.closes_at - now), 1)
        terms = self._state.terms.number, seconds
        if terms != self._tasks[0]:
            self._tasks = terms, {}
        tasks = self._tasks[1]
        if (objects, inside) not in tasks:  # most of a cohort is asked for the same
            data = b"".join(map(self._object, objects)) if inside else b""
            tasks[objects, inside] = encode(self.course.task(self._state, objects, seconds, data))
        self._post.send_payload(device, tasks[objects, inside])

    def _object(self, manifest: Manifest) -> bytes:
        data = self._versions.find(manifest.id)
        assert data is not None, "what a task names is kept as long as its version is the newest"
        return data

    def _fetch(self, device: str, offer: Offer, now: float) -> None:
        self._registry.holds(device, Held(self._versions.digest, offer.version, offer.check))
        peer = self._registry.get(device)
        if offer.data:
            self._transfers.drop(device)
            self._judge(device, offer, offer.data, now)
        elif peer is not None:  # else its buffer is not known: it offers again after its Hello
            block = min(peer.hello.buffer, self._block)
            need = self._transfers.begin(device, offer, block, now)
            if need is not None:
                self._post.send(device, need)

    def _judge(self, device: str, offer: Offer, payload: bytes | None, now: float) -> None:
        verdict: Content | Reason = Reason.CORRUPT
        if payload is not None:
            versions = self._versions
            verdict = judge(offer, payload, self.course.codec, versions.size, versions.bounds)
        self._step(Judged(device, offer, verdict), now)

    def _persist(self, device: str, answer: Answer, content: Content | None) -> None:
        self._store.answer(device, answer, content.payload if content else b"")
        if content is not None:
            self.course.add(content.delta, answer.samples)

    def _count(self, device: str, reason: Reason) -> None:
        log.info("refused from %s: %s", device or "nobody", reason.name)
        known = device in self._registry or device in self._state.terms.cohort
        self._store.refuse(device if known else "", reason)

    def _round_over(self, record: RoundRecord, now: float) -> None:
        """Go on to the next round: its beginning is committed with the end of this one.

        What is announced is on disk before, and only then is anybody told of the round.
        """
        self._open_if_ready(now)
        if self._state.stage is not Stage.OPEN:
            self._announce()
        self._on_round(record)

    def _open_if_ready(self, now: float) -> None:
        if self.course.ready(self._state, self._registry.online, now):
            here = self._registry.here()
            self._state, effects = self.course.next_round(self._state, here, now)
            self._announce()
            self._execute(effects, now)

    def _announce(self) -> None:
        if not self._session:
            return
        course = self.course
        under_way = self._state.stage is Stage.OPEN or course.making
        phase = Phase.TRAINING if under_way else Phase.WAITING
        announcement = Announce(
            session=self._session,
            phase=Phase.FINISHED if course.finished else phase,
            round=self._state.terms.number,
            version=course.model.version,
            base=self._versions.digest,
        )
        self._post.announce(announcement)
