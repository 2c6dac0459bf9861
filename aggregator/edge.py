"""A run's edge to the world: one MQTT connection and a clock.

Nothing is decided here.  Payloads and the time go into the Coordinator; what
it wants committed and sent goes out in batches; a closed round's version is
made in a thread; being asked to stop ends it cleanly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVarTuple

from aggregator.coordinator import Coordinator
from aggregator.course import Course, Made, Run
from aggregator.post import Post
from aggregator.registry import Registry
from mqtt_client.client import Broker, client_of
from wire.cbor import encode
from wire.messages import Presence, Status

FIRST_CONNECT = 10.0  # seconds
TICK = 0.25
COMPANY = 0.005  # seconds that a commit waits for others, unless it opens or ends a round
WRITE = 1.0  # seconds after which model files that are out of date are written again
FAREWELL = 5.0  # seconds that devices get to leave at the end
REUNION = 1.0  # seconds that they get to come to an aggregator that was killed at the end
MOST_WAITING_BYTES = 64 * 1024 * 1024  # towards a slow broker; beyond it devices must ask again

log = logging.getLogger(__name__)
Given = TypeVarTuple("Given")


class Edge:
    """The loop's side of a run: callbacks in, publishes out, until `_end` is decided."""

    def __init__(
        self,
        broker: Broker,
        run: Run,
        make: Callable[[Course], Awaitable[Made]],
        write: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._topics, self._store = run.topics, run.store
        self._make = make
        self._write = write
        self._session = 0
        self._most_waiting = min(MOST_WAITING_BYTES // run.plan.wire.block, 50_000)
        self._connection = client_of(
            broker,
            f"microfed-{run.topics.fleet}-aggregator",
            on_message=self._on_message,
            on_connect=self._on_connect,
            on_error=self._fail,
            will=self._will,
        )
        registry = Registry(run.plan.settings.max_devices)
        self._post = Post(
            run.topics, run.store, registry, self._publish, self._is_crowded, run.loaded.totals
        )
        self._coordinator = Coordinator(run, registry, self._post, self._loop.time())
        self._end: asyncio.Future[bool] = self._loop.create_future()
        self._parted = asyncio.Event()  # the run is over, and every device has left
        self._making: asyncio.Task[None] | None = None
        self._flush: asyncio.Handle | None = None
        self._stale: float | None = None  # since when there is a newer model than in the files

    async def run(self) -> bool:
        """Serve until the run is finished (True) or was asked to stop (False)."""
        self._connection.subscribe(*self._topics.from_devices)
        await self._connection.connect(FIRST_CONNECT)
        ticker = self._loop.create_task(self._tick())
        try:
            with _signals(self._loop, self._stop):
                finished = await self._end
                if finished:
                    await self._farewell()
                return finished
        finally:
            ticker.cancel()
            if self._making is not None:
                self._making.cancel()
            await self._leave()

    async def _tick(self) -> None:
        while True:
            self._guarded(self._coordinator.tick)
            self._guarded(self._write_models)
            await asyncio.sleep(TICK)

    async def _farewell(self) -> None:
        """Let devices hear their last verdicts, and that it is over.

        One that is away at this moment is waited for as well: nobody will
        answer it later.
        """
        if not self._coordinator.known:
            await asyncio.sleep(REUNION)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._parted.wait()

    async def _leave(self) -> None:
        self._cancel_flush()
        if self._failed:  # in the middle of something: half of it must not be committed
            self._post.take_back()
        else:
            self._post.flush()
        if self._connection.connected:
            self._post.presence(Presence(self._session, Status.SLEEPING))
            with contextlib.suppress(TimeoutError):
                await self._connection.drain(FAREWELL)
        await self._connection.disconnect()
        self._post.close()
        if self._stale is not None:
            self._write()

    def _will(self) -> tuple[str, bytes]:
        self._session = self._store.next_session()
        return self._topics.aggregator_state, encode(Presence(self._session, Status.LOST))

    def _on_connect(self) -> None:
        self._post.presence(Presence(self._session, Status.ONLINE))
        self._guarded(self._coordinator.connected, self._session)

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._guarded(self._coordinator.handle, topic, payload)

    def _guarded(self, act: Callable[[*Given, float], None], *given: *Given) -> None:
        """Act, now, then see what follows.  An error of ours ends the run: the store is sound."""
        if self._end.done() and not self._coordinator.course.finished:
            return
        try:
            act(*given, self._loop.time())
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            self._fail(error)
        else:
            self._follow_up()

    def _follow_up(self) -> None:
        course = self._coordinator.course
        self._see_to_flush()
        if course.making and self._making is None:
            self._making = self._loop.create_task(self._make_version())
        if course.failure is not None:
            self._fail(course.failure)
        elif course.finished:
            if not self._end.done():
                self._end.set_result(True)
            if self._coordinator.awake:
                self._parted.clear()
            else:
                self._parted.set()

    def _see_to_flush(self) -> None:
        """Have what waits flushed, unless a round's end or beginning does it sooner."""
        if not self._post.waiting:
            self._cancel_flush()
        elif self._flush is None:
            self._flush = self._loop.call_later(COMPANY, self._flush_now)

    def _cancel_flush(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None

    def _flush_now(self) -> None:
        self._flush = None
        self._guarded(lambda _now: self._post.flush())

    async def _make_version(self) -> None:
        try:
            made = await self._make(self._coordinator.course)
        except Exception as error:  # noqa: BLE001 - evaluation is the caller's code
            self._fail(error)
            return
        self._making = None
        self._guarded(self._coordinator.made, made)
        if self._stale is None:
            self._stale = self._loop.time()

    def _write_models(self, now: float) -> None:
        """Write the files when they have been out of date for long enough; `_leave` always does."""
        if self._stale is not None and now - self._stale >= WRITE:
            self._stale = None
            self._write()

    def _fail(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(error)

    @property
    def _failed(self) -> bool:
        end = self._end
        return end.done() and not end.cancelled() and end.exception() is not None

    def _stop(self) -> None:
        log.info("asked to stop")
        if not self._end.done():
            self._end.set_result(False)

    def _is_crowded(self) -> bool:
        return self._connection.waiting >= self._most_waiting

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        if not self._connection.connected:
            return False
        self._connection.publish(topic, payload, retain=retain)
        return True


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM, where Python lets a thread hear them."""
    hears = threading.current_thread() is threading.main_thread()
    caught = (signal.SIGINT, signal.SIGTERM) if hears else ()
    for number in caught:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
