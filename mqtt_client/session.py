"""One MQTT session over one TCP connection: paho's external-loop API on the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_client.endpoint import Endpoint, MqttError
from mqtt_client.stream import Stream, dial

QOS = 1


class SessionEnded(MqttError):  # noqa: N818 - says what happened
    """The session ended before it was in force; the text says why."""


class Listener(Protocol):
    """Who is told.  Never called from inside paho, so that any method may be called back."""

    def opened(self) -> None:
        """The broker accepted us and every subscription."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message came in."""

    def acknowledged(self, mid: int) -> None:
        """The broker took the message that `publish` called `mid`."""

    def lost(self, why: str) -> None:
        """The session is over, not by `close`.  The last call."""


class _Paho(paho.Client):
    """paho's client, given its socket instead of blocking the loop to open one."""

    stream: Stream

    def _create_socket(self) -> Stream:
        return self.stream


class Session:
    """Opens once, ends once."""

    __slots__ = (
        "_client",
        "_endpoint",
        "_events",
        "_flushing",
        "_greeting",
        "_keepalive",
        "_listener",
        "_ready",
        "_refusal",
        "_stream",
        "_topics",
    )

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
        self._client = _client(endpoint, client_id, will)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        self._client.on_socket_register_write = self._on_register_write
        self._stream: Stream | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._topics: tuple[str, ...] = ()
        self._greeting: int | None = None  # packet id of the SUBSCRIBE that opens the session
        self._refusal = ""
        self._events: list[Callable[[], None]] = []
        self._flushing = False

    async def open(self, topics: Iterable[str]) -> None:
        """Connect and subscribe; `opened` is called just before this returns.

        Raises OSError (nobody there) or SessionEnded (refused, or hung up).
        """
        self._topics = tuple(topics)
        sock = await dial(self._endpoint.host, self._endpoint.port)
        self._stream = self._client.stream = Stream(sock, self._readable)
        self._client.connect_async(self._endpoint.host, self._endpoint.port, self._keepalive)
        self._client.reconnect()
        await self._ready

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """Send with QoS 1; the packet id that `acknowledged` will name."""
        info = self._client.publish(topic, payload, QOS, retain)
        assert info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS, info.rc
        return info.mid

    def subscribe(self, topics: Iterable[str]) -> int | None:
        """Ask for `topics` with QoS 1; the packet id."""
        _, mid = self._client.subscribe([(topic, QOS) for topic in topics])
        return mid

    def goodbye(self) -> None:
        """Send DISCONNECT after all that was published; `lost` follows."""
        self._client.disconnect()

    def close(self) -> None:
        """Drop the socket without a word to the broker or the listener."""
        if self._stream is not None:
            self._stream.close()
        self._events.clear()
        if not self._ready.done():
            self._ready.set_exception(SessionEnded("closed from this side"))
            self._ready.exception()  # nobody need be waiting for it

    def tick(self) -> None:
        """Keep alive: ping when it is time, give up when no answer came."""
        if self._stream is not None:
            self._client.loop_misc()
            self._dispatch()

    def _readable(self) -> None:
        stream = self._stream
        assert stream is not None
        stream.fill()
        try:
            while stream.pending and self._client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except Exception as error:  # noqa: BLE001 - paho raises many kinds on malformed packets
            self._refusal = f"the broker sent nonsense: {error!r}"
            self._events.append(self._end)
        self._dispatch()

    def _flush(self) -> None:
        """Write what paho has; what the kernel does not take waits until it does."""
        self._flushing = False
        stream = self._stream
        if stream is None or stream.fileno() < 0:
            return
        self._client.loop_write()
        stream.watch_writable(self._flush if self._client.want_write() else None)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._events:
            self._events.pop(0)()  # few at a time, and a deque is 600 bytes

    # paho's callbacks: they note and return, because paho holds a lock around most of them.

    def _on_register_write(self, *_: Any) -> None:
        # One write for all that is published in this turn of the loop.
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = f"refused: {reason}"  # the disconnect follows
        elif self._topics:
            self._greeting = self.subscribe(self._topics)
        else:
            self._events.append(self._opened)

    def _on_subscribe(
        self, _client: Any, _data: Any, mid: int, reasons: list[ReasonCode], _: Any
    ) -> None:
        refused = [t for t, reason in zip(self._topics, reasons, strict=False) if reason.is_failure]
        if mid != self._greeting:
            return
        if refused:
            self._refusal = f"refused: subscription to {', '.join(refused)}"
            self._events.append(self._end)
        else:
            self._events.append(self._opened)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        self._events.append(partial(self._listener.received, message.topic, payload))

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _: Any) -> None:
        self._events.append(partial(self._listener.acknowledged, mid))

    def _on_disconnect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _: Any
    ) -> None:
        self._refusal = self._refusal or f"connection lost: {reason}"
        self._events.append(self._end)

    def _opened(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
            self._listener.opened()

    def _end(self) -> None:
        assert self._stream is not None
        self._stream.close()
        self._events.clear()
        if not self._ready.done():
            self._ready.set_exception(SessionEnded(self._refusal))
        else:
            self._listener.lost(self._refusal)


def packet_size(topic: str, payload: bytes) -> int:
    """Bytes of the PUBLISH packet (MQTT 3.1.1, 3.3), fixed header included, at QoS 1."""
    remaining = 2 + len(topic.encode()) + 2 + len(payload)
    length = 1 + (remaining > 127) + (remaining > 16_383) + (remaining > 2_097_151)
    return 1 + length + remaining


def _client(endpoint: Endpoint, client_id: str, will: tuple[str, bytes] | None) -> _Paho:
    client = _Paho(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=True,
        protocol=paho.MQTTv311,
        reconnect_on_failure=False,
    )
    client.max_inflight_messages = 0  # no limit: the connection bounds what waits
    if endpoint.username is not None:
        client.username_pw_set(endpoint.username, endpoint.password)
    if will is not None:
        client.will_set(will[0], will[1], QOS, retain=True)
    return client
