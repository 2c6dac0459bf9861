"""How devices reach the broker: each on a connection of its own, or many behind a gateway."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any

from device_sim.events import Topic
from device_sim.ground import Ground
from device_sim.notices import Notices
from device_sim.runner import Runner
from mqtt_client.client import Will, client_of
from mqtt_client.endpoint import BrokerUnreachable
from wire.cbor import encode
from wire.messages import Presence, Status

CONNECT_TIMEOUT = 10.0  # seconds
FIRST_TRIES = 3  # to reach a broker that was never reached before
FIRST_DELAY = 0.5
LAST_DELAY = 30.0
DRAIN_TIMEOUT = 5.0

log = logging.getLogger(__name__)


class Line(ABC):
    """One connection and the devices on it, from `begin` until `done`.

    No task stands by: there is one while the line connects or leaves, and none between.
    """

    def __init__(self, ground: Ground, name: str, runners: Sequence[Runner]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._ground = ground
        self.runners = runners
        self._staying = len(runners)  # that have not said goodbye
        self._by_topic = {ground.topics.down(runner.id): runner for runner in runners}
        self._notices = Notices()
        self._present: dict[Runner, None] = {}
        self._restless: dict[Runner, None] = {}  # those present that must hear of every round
        self._task: asyncio.Task[None] | None = None
        self._client = client_of(
            ground.broker,
            f"{ground.topics.fleet}-{name}",
            on_message=self._arrived,
            on_connect=self._connected,
            on_error=self._failed,
            will=self._will,
        )
        self._client.subscribe(ground.topics.announce, *self._by_topic)
        for runner in runners:
            runner.attach(self, self._notices)

    def begin(self) -> None:
        """Connect; `done` fails with BrokerUnreachable if neither we nor others ever could."""
        if not self.done.done() and self._idle:
            self._start(self._connect())

    def end(self) -> None:
        """Drop everything, now."""
        if self._task is not None:
            self._task.cancel()
        self._client.kill()
        for runner in self.runners:
            runner.fall_silent()
        if not self.done.done():
            self.done.cancel()

    @property
    def connected(self) -> bool:
        """Whether what is published now would arrive."""
        return self._client.connected

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send for a device."""
        self._client.publish(topic, payload, retain=retain)

    def restless(self, runner: Runner, *, is_so: bool) -> None:
        """Note whether a device must hear of every round, or may rest."""
        if is_so and runner in self._present:
            self._restless[runner] = None
        else:
            self._restless.pop(runner, None)

    @abstractmethod
    def vanish(self, runner: Runner) -> None:
        """A device dies without a word; bring it back after a while."""

    def leave(self, runner: Runner) -> None:
        """A device has said goodbye; after the last one disconnect."""
        self._part(runner)
        self._staying -= 1
        if not self._staying and self._idle:  # else the task that connects sees it
            self._start(self._close())

    @abstractmethod
    def _will(self) -> Will:
        """What the broker says when this connection dies."""

    @abstractmethod
    def _connected(self) -> None:
        """A session has begun."""

    def _join(self, runner: Runner) -> None:
        self._present[runner] = None
        self._restless[runner] = None
        runner.join()

    def _part(self, runner: Runner) -> None:
        self._present.pop(runner, None)
        self._restless.pop(runner, None)

    def _arrived(self, topic: str, payload: bytes) -> None:
        runner = self._by_topic.get(topic)
        if runner is not None:
            if runner in self._present:
                runner.arrived(Topic.DOWN, payload)
        elif topic == self._ground.topics.announce:
            urgent = self._notices.post(payload, self._loop.time())
            for runner in tuple(self._present if urgent else self._restless):
                runner.read_notices()
        else:  # brokers err: nobody else's messages must be taken for ours
            for runner in self._present:
                runner.tally.refused["foreign topic"] += 1

    def _start(self, doing: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(doing)
        self._task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.done.done():
            self.done.set_exception(error)

    async def _connect(self) -> None:
        delay, tries = FIRST_DELAY, 0
        while self._staying:
            try:
                await self._client.connect(CONNECT_TIMEOUT)
            except BrokerUnreachable as error:
                tries += 1
                self._failed(error)
                if not self._ground.reached.is_set() and tries >= FIRST_TRIES:
                    raise
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_DELAY)
            else:
                break
        if not self._staying:  # as they may on hearing, while they connect, that the run is over
            await self._close()

    async def _close(self) -> None:
        """Leave cleanly, when everybody's last words have arrived."""
        try:
            await self._client.drain(DRAIN_TIMEOUT)
        except TimeoutError as error:
            self._failed(error)
        await self._client.disconnect()
        for runner in self.runners:
            runner.fall_silent()
        if not self.done.done():
            self.done.set_result(None)

    @property
    def _idle(self) -> bool:
        """Whether it neither connects nor leaves."""
        return self._task is None or self._task.done()

    def _failed(self, error: Exception) -> None:
        for runner in self.runners:
            runner.tally.errors[type(error).__name__] += 1
        who = self.runners[0].id
        log.warning("%s: %s: %s", who, type(error).__name__, error)


class OwnLine(Line):
    """The connection of one device: they live and die together."""

    def __init__(self, ground: Ground, runner: Runner) -> None:
        self._runner = runner
        super().__init__(ground, runner.id, (runner,))

    def vanish(self, runner: Runner) -> None:
        """Drop the socket: the broker publishes the will."""
        self._client.kill()
        self._part(runner)
        self._loop.call_later(runner.away, self.begin)

    def _will(self) -> Will:
        return self._runner.will()

    def _connected(self) -> None:
        self._ground.reached.set()
        self._join(self._runner)


class Gateway(Line):
    """One connection for many devices, which it speaks for (docs/protocol.md, Gateways)."""

    def __init__(self, ground: Ground, name: str, runners: Sequence[Runner]) -> None:
        self._topic = ground.topics.gateway_state(name)
        self._session = 0
        self._away: set[Runner] = set()
        super().__init__(ground, f"g-{name}", runners)

    def vanish(self, runner: Runner) -> None:
        """Say of a device that cannot be heard any more that it is lost."""
        self._part(runner)
        self._away.add(runner)
        self.publish(*runner.death(), retain=True)
        self._loop.call_later(runner.away, self._come_back, runner)

    async def _close(self) -> None:
        if self.connected:
            self._say(Status.SLEEPING)
        await super()._close()

    def _come_back(self, runner: Runner) -> None:
        self._away.discard(runner)
        if self.connected and not runner.left:  # else it comes with the connection
            self._join_late(runner)

    def _join_late(self, runner: Runner) -> None:
        """A gateway keeps the retained announcement for those who come later than it."""
        self._join(runner)
        if self._notices.payload:
            runner.arrived(Topic.ANNOUNCE, self._notices.payload)

    def _will(self) -> Will:
        self._session += 1
        return self._topic, encode(Presence(self._session, Status.LOST))

    def _connected(self) -> None:
        self._ground.reached.set()
        self._say(Status.ONLINE)
        for runner in self.runners:
            if not runner.left and runner not in self._away:
                self._join(runner)

    def _say(self, status: Status) -> None:
        self.publish(self._topic, encode(Presence(self._session, status)), retain=True)
