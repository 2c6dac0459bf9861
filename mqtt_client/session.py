"""One MQTT session over one TCP connection, on the running loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Protocol

from mqtt_client import packets
from mqtt_client.endpoint import Endpoint, MqttError
from mqtt_client.packets import MalformedPacket, Packet, Packets
from mqtt_client.stream import Stream, dial

_PACKET_IDS = 0xFFFF


class SessionEnded(MqttError):  # noqa: N818 - says what happened
    """The session ended before it was in force; the text says why."""


class Listener(Protocol):
    """Who is told.  May call any method of the session back."""

    def opened(self) -> None:
        """The broker accepted us and every subscription."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message came in.  It is acknowledged when this returns."""

    def acknowledged(self, mid: int) -> None:
        """The broker took the message that `publish` called `mid`."""

    def lost(self, why: str) -> None:
        """The session is over, not by `close`.  The last call."""


class Session:
    """Opens once, ends once."""

    def __init__(
        self,
        endpoint: Endpoint,
        client_id: str,
        listener: Listener,
        *,
        keepalive: int,
        will: tuple[str, bytes] | None,
    ) -> None:
        self._endpoint = endpoint
        self._keepalive = keepalive
        self._listener = listener
        self._hello = packets.connect(
            client_id, keepalive, will, endpoint.username, endpoint.password
        )
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._stream: Stream | None = None
        self._packets = Packets()
        self._out = bytearray()
        self._flushing = False
        self._topics: tuple[str, ...] = ()
        self._greeting = 0  # packet id of the SUBSCRIBE that opens the session
        self._last_id = 0
        self._flying: set[int] = set()  # packet ids that are not answered
        self._spoke = 0.0  # when we last wrote,
        self._pinged = 0.0  # and since when a ping is unanswered; 0: none is

    async def open(self, topics: Iterable[str]) -> None:
        """Connect and subscribe; `opened` is called just before this returns.

        Raises OSError (nobody there) or SessionEnded (refused, or hung up).
        """
        self._topics = tuple(topics)
        sock = await dial(self._endpoint.host, self._endpoint.port)
        self._stream = Stream(sock, self._readable)
        self._write(self._hello)
        await self._ready

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """Send with QoS 1; the packet id that `acknowledged` will name."""
        mid = self._next_id()
        self._write(packets.publish(mid, topic, payload, retain=retain))
        return mid

    def subscribe(self, topics: Iterable[str]) -> int:
        """Ask for `topics` with QoS 1; the packet id."""
        mid = self._next_id()
        self._write(packets.subscribe(mid, topics))
        return mid

    def goodbye(self) -> None:
        """Send DISCONNECT after all that was published; `lost` follows."""
        self._write(packets.DISCONNECT)

    def close(self) -> None:
        """Drop the socket without a word to the broker or the listener."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if not self._ready.done():
            self._ready.set_exception(SessionEnded("closed from this side"))
            self._ready.exception()  # nobody need be waiting for it

    def tick(self) -> None:
        """Keep alive: ping when it is time, give up when no answer came."""
        now = time.monotonic()
        if self._stream is None:
            return
        if self._pinged and now - self._pinged >= self._keepalive:
            self._end("connection lost: no answer to a ping")
        elif not self._pinged and now - self._spoke >= self._keepalive:
            self._pinged = now
            self._write(packets.PINGREQ)

    def _next_id(self) -> int:
        # There is always a free one: the connection bounds what waits.
        while True:
            self._last_id = self._last_id % _PACKET_IDS + 1
            if self._last_id not in self._flying:
                self._flying.add(self._last_id)
                return self._last_id

    def _write(self, data: bytes) -> None:
        """Have it written with all else that is said in this turn of the loop."""
        self._out += data
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what there is; what the kernel does not take waits until it does."""
        self._flushing = False
        if self._stream is None:
            return
        self._spoke = time.monotonic()
        try:
            del self._out[: self._stream.send(self._out)]
        except OSError as error:
            self._end(f"connection lost: {error.strerror}")
        else:
            self._stream.watch_writable(self._flush if self._out else None)

    def _readable(self) -> None:
        if self._stream is None:
            return
        data = self._stream.read()
        if data is None:
            return
        if not data:
            self._end("connection lost")
            return
        try:
            for packet in self._packets.feed(data):
                self._take(packet)
                if self._stream is None:  # a handler ended it
                    return
        except MalformedPacket as error:
            self._end(f"the broker sent nonsense: {error}")

    def _take(self, packet: Packet) -> None:
        match packet.kind:
            case packets.PUBLISH:
                message = packets.read_publish(packet)
                self._listener.received(message.topic, message.payload)
                if message.packet_id:
                    self._write(packets.puback(message.packet_id))
            case packets.PUBACK:
                mid = packets.read_packet_id(packet)
                self._flying.discard(mid)
                self._listener.acknowledged(mid)
            case packets.PINGRESP:
                self._pinged = 0.0
            case packets.SUBACK:
                self._subscribed(packet)
            case packets.CONNACK:
                self._connected(packet)
            case _:
                raise MalformedPacket(f"a packet of type {packet.kind}")

    def _connected(self, packet: Packet) -> None:
        if len(packet.body) != 2:
            raise MalformedPacket(f"CONNACK of {len(packet.body)} bytes")
        code = packet.body[1]
        if code:
            self._end(f"refused: {packets.CONNECT_RETURNS.get(code, f'return code {code}')}")
        elif self._topics:
            self._greeting = self.subscribe(self._topics)
        else:
            self._opened()

    def _subscribed(self, packet: Packet) -> None:
        mid = packets.read_packet_id(packet)
        self._flying.discard(mid)
        if mid != self._greeting:
            return
        answers = zip(self._topics, packet.body[2:], strict=False)
        refused = [topic for topic, answer in answers if answer == packets.REFUSED]
        if refused:
            self._end(f"refused: subscription to {', '.join(refused)}")
        else:
            self._opened()

    def _opened(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
            self._listener.opened()

    def _end(self, why: str) -> None:
        assert self._stream is not None
        self._stream.close()
        self._stream = None
        if not self._ready.done():
            self._ready.set_exception(SessionEnded(why))
        else:
            self._listener.lost(why)
