"""The edge of one simulated device: gives the state machine its connection, clock and work."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial

from device_sim.device import step
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
    Update,
)
from device_sim.ground import Ground, Happening, What
from device_sim.link import Link
from device_sim.local_update import local_update
from device_sim.mishap import Mishap
from device_sim.profile import Battery, Profile
from device_sim.shard import Shard
from device_sim.state import Device, Stage, Traits
from device_sim.tally import DeviceTally
from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable
from wire.cbor import encode
from wire.messages import Presence, Reason, Status, Task

CONNECT_TIMEOUT = 10.0  # seconds
FIRST_TRIES = 3  # to reach a broker that was never reached before
LAST_DELAY = 30.0
DRAIN_TIMEOUT = 5.0

log = logging.getLogger(__name__)


class Runner:
    """One device, alive from `live` until it leaves."""

    def __init__(
        self, ground: Ground, traits: Traits, shard: Shard, profile: Profile, rng: random.Random
    ) -> None:
        self.tally = DeviceTally()
        self._ground = ground
        self._id = traits.id
        self._shard = shard
        self._away = profile.away
        self._state = Device(traits)
        self._battery = Battery(profile.battery)
        self._mishap = Mishap(profile, rng)
        self._loop = asyncio.get_running_loop()
        self._up = Link(self._loop, profile.up, profile.loss, rng)
        self._down = Link(self._loop, profile.down, profile.loss, rng)
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Future[Update] | None = None
        self._interrupt = asyncio.Event()  # vanished, or left
        topics = ground.topics
        self._state_topic, self._up_topic = topics.state(traits.id), topics.up(traits.id)
        self._topics = {topics.down(traits.id): Topic.DOWN, topics.announce: Topic.ANNOUNCE}
        self._connection = Connection(
            ground.endpoint,
            f"{topics.fleet}-{traits.id}",
            on_message=self._arrived,
            on_connect=self._connected,
            on_error=self._failed,
            will=self._will,
        )
        self._connection.subscribe(*self._topics)

    async def live(self, delay: float) -> None:
        """Connect after `delay` seconds, take part, and return when the device has left.

        Raises BrokerUnreachable when neither this device nor another ever reached the broker.
        """
        try:
            await self._rest(delay)
            while not self._state.left:
                await self._connect()
                await self._rest(None)
                if not self._state.left:
                    await self._rest(self._away)
            await self._say_goodbye()
        finally:
            self._fall_silent()
            self.tally.traffic = self._connection.traffic

    def stop(self) -> None:
        """Leave now, whatever is under way."""
        self._feed(Stop())

    async def _rest(self, seconds: float | None) -> None:
        """Wait until something interrupts, or for that long."""
        try:
            async with asyncio.timeout(seconds):
                await self._interrupt.wait()
        except TimeoutError:
            pass
        if not self._state.left:
            self._interrupt.clear()

    async def _connect(self) -> None:
        delay, tries = 0.5, 0
        while not self._state.left:
            try:
                await self._connection.connect(CONNECT_TIMEOUT)
            except BrokerUnreachable as error:
                tries += 1
                self._failed(error)
                if not self._ground.reached.is_set() and tries >= FIRST_TRIES:
                    raise
                await self._rest(delay)
                delay = min(2 * delay, LAST_DELAY)
            else:
                return

    async def _say_goodbye(self) -> None:
        try:
            await self._connection.drain(DRAIN_TIMEOUT)
        except TimeoutError as error:
            self._failed(error)
        await self._connection.disconnect()
        self._ground.on_event(Happening(self._id, "left"))

    def _fall_silent(self) -> None:
        self._connection.kill()
        self._up.cut()
        self._down.cut()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _will(self) -> tuple[str, bytes]:
        return self._state_topic, encode(Presence(self._state.session + 1, Status.LOST))

    def _failed(self, error: Exception) -> None:
        self.tally.errors[type(error).__name__] += 1
        log.warning("%s: %s: %s", self._id, type(error).__name__, error)

    # From the connection, through the link, to the machine.

    def _connected(self) -> None:
        self._up.cut()
        self._down.cut()
        self._ground.reached.set()
        self.tally.sessions += 1
        self._ground.on_event(Happening(self._id, "connected"))
        self._feed(Connected())

    def _arrived(self, topic: str, payload: bytes) -> None:
        if topic not in self._topics:  # brokers err: nobody else's messages must be taken for ours
            self.tally.refused["foreign topic"] += 1
            return
        event = Received(self._topics[topic], payload)
        announced = event.topic is Topic.ANNOUNCE
        self._down.carry(len(payload), partial(self._receive, event), sure=announced)

    def _receive(self, event: Received) -> None:
        self._battery.radio(len(event.payload))
        self._feed(event)

    def _feed(self, event: Event) -> None:
        if self._battery.low and not self._state.battery_low:
            self._state, _ = step(self._state, BatteryLow(), self._loop.time())
        self._state, effects = step(self._state, event, self._loop.time())
        self._mishap.look(self._state.job)
        for effect in effects:
            self._execute(effect)
        job = self._state.job
        if self._work and (job is None or job.stage is not Stage.TRAINING):
            self._work.cancel()
        self._set_timer()

    def _set_timer(self) -> None:
        wake = self._state.wake
        if self._timer:
            if self._timer.when() == wake:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(wake, self._tick) if wake is not None else None

    def _tick(self) -> None:
        self._timer = None
        self._feed(Tick())

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
                self._interrupt.set()

    def _publish(self, effect: Publish) -> None:
        if not self._connection.connected:
            self._state, _ = step(self._state, Lost(), self._loop.time())
            return
        payload = encode(effect.message)
        self._battery.radio(len(payload))
        if effect.topic is Topic.STATE:
            self._connection.publish(self._state_topic, payload, retain=effect.retain)
            return
        if self._mishap.before(effect.message):
            self._vanish()
            return
        self._up.carry(len(payload), partial(self._connection.publish, self._up_topic, payload))
        self._strike_soon(self._mishap.after(effect.message))

    def _train(self, effect: Train) -> None:
        if self._work:
            self._work.cancel()
        work = self._loop.run_in_executor(
            self._ground.executor, local_update, effect.model, self._shard, effect.task, self._id
        )
        work.add_done_callback(partial(self._trained, effect.task))
        self._work = work
        self._strike_soon(self._mishap.training())

    def _trained(self, task: Task, work: asyncio.Future[Update]) -> None:
        if self._work is work:
            self._work = None
        if work.cancelled():
            return
        error = work.exception()
        if isinstance(error, Exception):
            self._failed(error)
            self._feed(NotTrained(task))
        else:
            update = work.result()
            self._battery.training(update.samples * task.recipe.epochs)
            self._feed(Trained(task, update))

    def _judged(self, verdict: Judged) -> None:
        self.tally.verdicts[verdict.reason.name] += 1
        accepted = verdict.reason is Reason.ACCEPTED
        if accepted:
            self.tally.accepted.append((verdict.round, verdict.nonce.hex()))
        what: What = "accepted" if accepted else "refused"
        self._ground.on_event(Happening(self._id, what, verdict.round))

    def _strike_soon(self, delay: float | None) -> None:
        if delay is not None:
            self._loop.call_later(delay, self._vanish)

    def _vanish(self) -> None:
        """Die without a word; `live` brings the device back."""
        if self._state.left or not self._connection.connected:
            return
        self._fall_silent()
        self._state, _ = step(self._state, Lost(), self._loop.time())
        self.tally.dropouts += 1
        self._ground.on_event(Happening(self._id, "vanished"))
        self._interrupt.set()
