"""The edge of one simulated device: gives the state machine its line, clock and work."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import Protocol

from device_sim.device import step
from device_sim.energy import Meter
from device_sim.events import (
    BatteryLow,
    Connected,
    Effect,
    Event,
    Judged,
    Leave,
    Lost,
    NotTrained,
    Publish,
    Received,
    Refused,
    Stop,
    Tick,
    Topic,
    Train,
    Trained,
    Unanswered,
)
from device_sim.ground import Ground
from device_sim.link import Link
from device_sim.local_update import LocalUpdate
from device_sim.mishap import Mishap
from device_sim.notices import Notices
from device_sim.profile import Profile
from device_sim.shard import Shard
from device_sim.state import Device, Stage, Traits
from device_sim.tally import DeviceTally
from device_sim.workshop import Result, Work
from wire.cbor import encode
from wire.messages import Message, Presence, Reason, Status, Task

log = logging.getLogger(__name__)


class Uplink(Protocol):
    """The connection that a device is on: `device_sim.line.Line`."""

    @property
    def connected(self) -> bool:
        """Whether what is published now would arrive."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send."""

    def restless(self, runner: Runner, *, is_so: bool) -> None:
        """Note whether the device must hear of every round."""

    def vanish(self, runner: Runner) -> None:
        """The device dies without a word."""

    def leave(self, runner: Runner) -> None:
        """The device has said goodbye."""


class Runner:
    """One device.  Everything happens in calls from its line, its timer and the workshop."""

    __slots__ = (
        "_down",
        "_ground",
        "_heard",
        "_heard_bytes",
        "_line",
        "_loop",
        "_meter",
        "_mishap",
        "_notices",
        "_restless",
        "_shard",
        "_state",
        "_timer",
        "_up",
        "_up_topic",
        "_work",
        "away",
        "tally",
    )

    def __init__(
        self, ground: Ground, traits: Traits, shard: Shard, profile: Profile, rng: random.Random
    ) -> None:
        self.tally = DeviceTally()
        self.away = profile.away
        self._ground = ground
        self._shard = shard
        kept, said = (None, ()) if ground.vault is None else ground.vault.load(traits.id)
        self._state = Device(traits, kept=kept, said=said)
        self._meter = Meter(ground.costs, profile.battery, self.tally.energy)
        self._loop = asyncio.get_running_loop()
        # What cannot befall a device it does not carry: its source of chance alone is 2.5 KB.
        self._mishap = Mishap(profile, rng) if profile.dropout else None
        self._up = Link.of(self._loop, profile.up, profile.loss, rng)
        self._down = Link.of(self._loop, profile.down, profile.loss, rng)
        self._timer: asyncio.TimerHandle | None = None
        self._work: Work | None = None
        self._up_topic = ground.topics.up(traits.id)
        self._restless = True
        self._heard = self._heard_bytes = 0  # announcements, as Notices counts them

    def attach(self, line: Uplink, notices: Notices) -> None:
        """Put the device on a line."""
        self._line = line
        self._notices = notices

    @property
    def id(self) -> str:
        """The device's name."""
        return self._state.traits.id

    @property
    def left(self) -> bool:
        """Whether it has said goodbye for good."""
        return self._state.left

    def will(self) -> tuple[str, bytes]:
        """The topic and payload that tell of the death of the session that is about to begin."""
        return self._presence(self._state.session + 1)

    def death(self) -> tuple[str, bytes]:
        """The same of the session that is."""
        return self._presence(self._state.session)

    def join(self) -> None:
        """A session has begun."""
        self._cut_links()
        self._heard, self._heard_bytes = self._notices.messages, self._notices.bytes
        self._restless = True  # as the line has it of those who join
        self.tally.sessions += 1
        self._meter.connected()
        self._meter.passed(self._loop.time())
        self._feed(Connected())

    def arrived(self, topic: Topic, payload: bytes) -> None:
        """A message for the device is there; it has yet to cross the link."""
        self.tally.messages_down += 1
        self.tally.bytes_down += len(payload)
        if self._down is None:
            self._receive(topic, payload)
        else:
            sure = topic is Topic.ANNOUNCE
            self._down.carry(len(payload), partial(self._receive, topic, payload), sure=sure)

    def read_notices(self) -> None:
        """Read the announcement that is new, as of when it came."""
        if self._heard != self._notices.messages:
            self._catch_up()
            self._settle()

    def _catch_up(self) -> None:
        """Count the announcements that came since the last, and read the newest."""
        notices = self._notices
        if self._down is not None:
            self._heard, self._heard_bytes = notices.messages, notices.bytes
            self.arrived(Topic.ANNOUNCE, notices.payload)
            return
        messages, size = notices.messages - self._heard, notices.bytes - self._heard_bytes
        self.tally.messages_down += messages
        self.tally.bytes_down += size
        self._meter.received(size, messages)
        self._heard, self._heard_bytes = notices.messages, notices.bytes
        self._happen(Received(Topic.ANNOUNCE, notices.payload), notices.at)

    def stop(self) -> None:
        """Leave now, whatever is under way."""
        self._feed(Stop())

    def fall_silent(self) -> None:
        """Forget what is under way, and want nothing more."""
        self._meter.passed(self._loop.time())
        self._cut_links()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _cut_links(self) -> None:
        for link in (self._up, self._down):
            if link is not None:
                link.cut()

    def _presence(self, session: int) -> tuple[str, bytes]:
        topic = self._ground.topics.state(self.id)
        return topic, encode(Presence(session, Status.LOST))

    def _failed(self, error: Exception) -> None:
        self.tally.errors[type(error).__name__] += 1
        log.warning("%s: %s: %s", self.id, type(error).__name__, error)

    # From the line, the clock and the workshop to the machine.

    def _receive(self, topic: Topic, payload: bytes) -> None:
        self._meter.received(len(payload))
        self._feed(Received(topic, payload))

    def _feed(self, event: Event) -> None:
        if self._heard != self._notices.messages:
            self._catch_up()
        self._happen(event, self._loop.time())
        self._settle()

    def _happen(self, event: Event, now: float) -> None:
        """Take a step, and do what comes of it."""
        if self._meter.low and not self._state.battery_low:
            self._state, _ = step(self._state, BatteryLow(), now)
        before = self._state
        self._state, effects = step(before, event, now)
        self._remember(before)
        if self._mishap is not None:
            self._mishap.look(self._state.job)
        for effect in effects:
            self._execute(effect)

    def _settle(self) -> None:
        """See what the device waits for now."""
        state = self._state
        if self._work is not None and not (state.job and state.job.stage is Stage.TRAINING):
            self._work.cancelled = True
            self._work = None
        restless = self._down is not None or not state.at_rest
        if restless is not self._restless:
            self._restless = restless
            self._line.restless(self, is_so=restless)
        self._set_timer()

    def _remember(self, before: Device) -> None:
        """Keep what must not be forgotten, before anything is sent that counts on it."""
        vault, state = self._ground.vault, self._state
        if vault is None or state.kept is None:
            return
        if state.kept is not before.kept or state.said is not before.said:
            vault.save(self.id, state.kept, state.said)

    def _set_timer(self) -> None:
        """Be woken in time; a timer that comes too early sets itself again."""
        wake = self._state.wake
        if wake is None:
            return
        if self._timer is not None:
            if self._timer.when() <= wake:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(wake, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.read_notices()
        wake = self._state.wake
        if wake is not None and wake <= self._loop.time():
            self._feed(Tick())
        else:
            self._set_timer()

    # From the machine to the world.

    def _execute(self, effect: Effect) -> None:
        match effect:
            case Publish():
                self._publish(effect)
            case Train():
                self._train(effect)
            case Refused(kind):
                self.tally.refused[kind] += 1
            case Judged():
                self._judged(effect)
            case Unanswered(number, nonce):
                self.tally.unanswered.append((number, nonce.hex()))
            case Leave():
                self._line.leave(self)

    def _publish(self, effect: Publish) -> None:
        if not self._line.connected:
            self._state, _ = step(self._state, Lost(), self._loop.time())
            return
        payload = encode(effect.message)
        self._meter.sent(len(payload))
        if effect.topic is Topic.STATE:
            topic = self._ground.topics.state(self.id)
            self._send(topic, payload, retain=effect.retain)
        elif self._mishap is not None:
            self._publish_at_risk(self._mishap, effect.message, payload)
        else:
            self._say(payload)

    def _publish_at_risk(self, mishap: Mishap, message: Message, payload: bytes) -> None:
        if mishap.before(message):
            self._vanish()
            return
        self._say(payload)
        self._strike_soon(mishap.after(message))

    def _say(self, payload: bytes) -> None:
        if self._up is None:
            self._send(self._up_topic, payload)
        else:
            self._up.carry(len(payload), partial(self._send, self._up_topic, payload))

    def _send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.tally.messages_up += 1
        self.tally.bytes_up += len(payload)
        self._line.publish(topic, payload, retain=retain)

    def _train(self, effect: Train) -> None:
        if self._work is not None:
            self._work.cancelled = True
        task = effect.task
        self._work = self._ground.workshop.give(
            LocalUpdate(effect.model, self._shard, task, self.id, effect.kept),
            partial(self._worked, task, self._loop.time()),
        )
        if self._mishap is not None:
            self._strike_soon(self._mishap.training())

    def _worked(self, task: Task, began: float, result: Result) -> None:
        """The work is done here; on the device it may take longer."""
        pause = 0.0
        if not isinstance(result, Exception):
            pause = self._ground.costs.pause(result.samples, task.recipe.epochs)
        if pause:
            self._loop.call_at(began + pause, self._waited, self._work, task, result)
        else:
            self._trained(task, result)

    def _waited(self, work: Work | None, task: Task, result: Result) -> None:
        if work is not None and self._work is work:  # else it was cancelled while it lasted
            self._trained(task, result)

    def _trained(self, task: Task, result: Result) -> None:
        self._work = None
        if isinstance(result, Exception):
            self._failed(result)
            self._feed(NotTrained(task))
        else:
            self._meter.trained(result.samples, task.recipe.epochs)
            self._feed(Trained(task, result))

    def _judged(self, verdict: Judged) -> None:
        self.tally.verdicts[verdict.reason.name] += 1
        if verdict.reason is Reason.ACCEPTED:
            self.tally.accepted.append((verdict.round, verdict.nonce.hex()))

    def _strike_soon(self, delay: float | None) -> None:
        if delay is not None:
            self._loop.call_later(delay, self._vanish)

    def _vanish(self) -> None:
        """Die without a word; the line brings the device back."""
        if self._state.left or not self._state.online or not self._line.connected:
            return
        self.fall_silent()
        self._state, _ = step(self._state, Lost(), self._loop.time())
        self._line.vanish(self)
        self.tally.dropouts += 1
