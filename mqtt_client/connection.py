"""A client of one broker on an asyncio loop that stays connected: no thread, no standing task."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from typing import NamedTuple

from mqtt_client.endpoint import MAX_PACKET, BrokerUnreachable, Endpoint, OutboxFull, PacketTooLarge
from mqtt_client.session import Session, SessionEnded, packet_size
from mqtt_client.shared import back_off, of_this_loop
from mqtt_client.traffic import Traffic

Will = tuple[str, bytes]  # topic, payload: the broker publishes it retained, QoS 1

MAX_WAITING = 60_000  # unacknowledged messages: MQTT has 65,535 packet identifiers
ATTEMPT = 10.0  # seconds that one try to reconnect may take
GOODBYE = 5.0  # seconds for a clean disconnect to reach the broker

log = logging.getLogger(__name__)


class _Message(NamedTuple):
    topic: str
    payload: bytes
    retain: bool


class Connection:
    """A named client of one broker.

    Everything happens on the running loop, in its thread.  Messages are QoS 1
    in both directions, sessions are clean.  After a loss the connection comes
    back by itself with jittered exponential back-off, subscribes again, sends
    again what was not acknowledged, in order, and calls `on_connect`.

    Args:
        endpoint: the broker, and the credentials for it.
        client_id: unique at the broker; two clients of one name fight.
        on_message: called with (topic, payload).  Return quickly.
        on_connect: called whenever the subscriptions are in force: at the
            first connect and at every reconnect.  The place to say who we are.
        on_error: given what a handler raised; the connection lives on.  By
            default the loop's exception handler, which logs a traceback.
        will: what the broker publishes when the session dies.  A callable is
            asked before each try to connect, for a will that names its session.
        keepalive: seconds; the broker gives the client up after 1.5 times that.
        max_packet: bytes; a larger publish raises PacketTooLarge, because a
            broker closes the connection on it.
    """

    # There may be ten thousand of them, most of them idle.
    __slots__ = (
        "_connected",
        "_drained",
        "_held",
        "_in",
        "_keepalive",
        "_leaving",
        "_lives",
        "_max_packet",
        "_on_connect",
        "_on_error",
        "_on_message",
        "_out",
        "_retry",
        "_sent",
        "_session",
        "_topics",
        "_will",
        "client_id",
        "endpoint",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        client_id: str,
        *,
        on_message: Callable[[str, bytes], None],
        on_connect: Callable[[], None] = lambda: None,
        on_error: Callable[[Exception], None] | None = None,
        will: Will | Callable[[], Will] | None = None,
        keepalive: int = 60,
        max_packet: int = MAX_PACKET,
    ) -> None:
        self.endpoint = endpoint
        self.client_id = client_id
        self._on_message = on_message
        self._on_connect = on_connect
        self._on_error = on_error
        self._will = will
        self._keepalive = keepalive
        self._max_packet = max_packet
        self._topics: dict[str, None] = {}
        self._session: Session | None = None
        self._connected = False
        self._retry: asyncio.Task[None] | None = None
        self._leaving: asyncio.Future[None] | None = None
        self._lives = 0  # counts kills: one that comes while we queue for the gate must hold
        self._held: list[_Message] = []  # to be sent when connected
        self._sent: dict[int, _Message] = {}  # packet id -> unacknowledged
        self._drained: asyncio.Future[None] | None = None
        self._in = [0, 0]  # messages, bytes
        self._out = [0, 0]

    @property
    def connected(self) -> bool:
        """True while the session is open and its subscriptions are in force."""
        return self._connected

    @property
    def waiting(self) -> int:
        """How many published messages the broker has not acknowledged."""
        return len(self._held) + len(self._sent)

    @property
    def traffic(self) -> Traffic:
        """What went both ways, over all sessions of this object."""
        return Traffic(self._in[0], self._out[0], self._in[1], self._out[1])

    async def connect(self, timeout: float) -> None:  # noqa: ASYNC109 - waiting for a turn is not counted
        """Open the first session, subscriptions included.

        Raises BrokerUnreachable: nobody there, no answer within `timeout`
        seconds, or refused.  May be called again after `disconnect` or `kill`.
        """
        if self._session is not None or self._retry is not None:
            raise RuntimeError(f"client {self.client_id!r} is connected already")
        await self._open(timeout)

    def subscribe(self, *topics: str) -> None:
        """Receive these topics (filters), now if connected and after every connect."""
        new = [topic for topic in topics if topic not in self._topics]
        self._topics.update(dict.fromkeys(new))
        if new and self._connected and self._session is not None:
            self._session.subscribe(new)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send with QoS 1: at least once, in order.

        What is published while there is no session, or was not acknowledged
        when it broke, is sent once there is one, before `on_connect` is
        called.  PacketTooLarge and OutboxFull say what cannot be kept.
        """
        if not topic or "+" in topic or "#" in topic:
            raise ValueError(f"topic {topic!r}: nothing can be published there")
        size = packet_size(topic, payload)
        if size > self._max_packet:
            raise PacketTooLarge(topic, size, self._max_packet)
        if self.waiting >= MAX_WAITING:
            raise OutboxFull(self.client_id, self.waiting)
        message = _Message(topic, payload, retain)
        if self._connected:
            self._send(message)
        else:
            self._held.append(message)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - the contract of this package
        """Wait until the broker has acknowledged all; TimeoutError says how many it has not."""
        if not self.waiting:
            return
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._drained)
        except TimeoutError as error:
            what = f"client {self.client_id!r}: {self.waiting} messages not acknowledged"
            raise TimeoutError(f"{what} after {timeout:g} s") from error

    async def disconnect(self) -> None:
        """Leave cleanly: the will does not fire.  `drain` first to know that all has arrived."""
        if self._connected and self._session is not None:
            self._leaving = asyncio.get_running_loop().create_future()
            self._session.goodbye()
            try:
                async with asyncio.timeout(GOODBYE):
                    await self._leaving
            except TimeoutError:
                log.warning("%s: the broker took no DISCONNECT", self.client_id)
            finally:
                self._leaving = None
        self.kill()

    def kill(self) -> None:
        """Vanish: drop the socket without DISCONNECT (the will fires), forget what waits."""
        self._lives += 1
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._session is not None:
            self._session.close()
        self._detach()
        self._held.clear()
        self._sent.clear()
        self._settle()

    async def _open(self, timeout: float) -> None:  # noqa: ASYNC109 - begins when the gate opens
        host, port = self.endpoint.host, self.endpoint.port
        shared = of_this_loop()
        life = self._lives
        async with shared.gate:
            if life != self._lives:
                raise BrokerUnreachable(host, port, "closed from this side")
            will = self._will() if callable(self._will) else self._will
            session = Session(
                self.endpoint, self.client_id, self, keepalive=self._keepalive, will=will
            )
            self._session = session
            shared.add(self)
            try:
                async with asyncio.timeout(timeout):
                    await session.open(self._topics)
            except BaseException as error:
                session.close()
                if self._session is session:
                    self._detach()
                why = _why(error, timeout)
                if why is None:
                    raise
                raise BrokerUnreachable(host, port, why) from error

    async def _reconnect(self) -> None:
        # It spreads load and hides nothing; of 2.5 KB, it lives no longer than it is needed.
        rng = random.Random(self.client_id)  # noqa: S311
        for delay in back_off(rng):
            await asyncio.sleep(delay)
            try:
                await self._open(ATTEMPT)
            except BrokerUnreachable as error:
                log.info("%s: %s", self.client_id, error)
            except Exception as error:  # noqa: BLE001 - the will of a later try may be sound
                self._report(error)
            else:
                return

    def _send(self, message: _Message) -> None:
        assert self._session is not None
        mid = self._session.publish(message.topic, message.payload, retain=message.retain)
        self._sent[mid] = message
        self._out[0] += 1
        self._out[1] += len(message.payload)

    def _detach(self) -> None:
        self._session = None
        self._connected = False
        of_this_loop().discard(self)

    def _settle(self) -> None:
        if self._drained is not None and not self.waiting:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    def _guard(self, handler: Callable[..., None], *args: object) -> None:
        """A broken handler must not take the connection with it."""
        try:
            handler(*args)
        except Exception as error:  # noqa: BLE001 - handed on, whole
            self._report(error)

    def _report(self, error: Exception) -> None:
        if self._on_error is not None:
            self._on_error(error)
            return
        message = f"a handler of MQTT client {self.client_id!r} failed"
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})

    # What the session tells (mqtt_client.session.Listener), and the shared clock.

    def opened(self) -> None:
        """Send what waited, then let the owner speak."""
        self._connected = True
        self._retry = None
        held, self._held = self._held, []
        for message in held:
            self._send(message)
        self._guard(self._on_connect)

    def received(self, topic: str, payload: bytes) -> None:
        """Count and hand on."""
        self._in[0] += 1
        self._in[1] += len(payload)
        self._guard(self._on_message, topic, payload)

    def acknowledged(self, mid: int) -> None:
        """Forget a message that has arrived."""
        self._sent.pop(mid, None)
        self._settle()

    def lost(self, why: str) -> None:
        """Keep what was not acknowledged, and come back unless we wanted to leave."""
        self._detach()
        self._held[:0] = self._sent.values()
        self._sent.clear()
        if self._leaving is not None:
            if not self._leaving.done():
                self._leaving.set_result(None)
            return
        log.info("%s: %s", self.client_id, why)
        self._retry = asyncio.get_running_loop().create_task(self._reconnect())

    def tick(self) -> None:
        """Once a second: keep-alive."""
        if self._session is not None:
            self._session.tick()


def _why(error: BaseException, timeout: float) -> str | None:
    """What a failed try says to people; None when it is no matter of the network."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, SessionEnded):
        return str(error)
    if isinstance(error, OSError):
        known = (error.errno or 0) > 0  # getaddrinfo's are negative
        return os.strerror(error.errno or 0) if known else str(error.strerror or error)
    return None
