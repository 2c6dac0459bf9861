"""A broker that is an object: MQTT as the protocol needs it, between clients of one event loop.

QoS 1 in order, retained messages, last wills, wildcards, take-over of a client
id.  Nothing is lost and nothing repeated; a message is delivered on a later
turn of the loop than it was published on, as over a socket, so that no handler
is called inside another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from mqtt_client.traffic import Traffic

Handler = Callable[[str, bytes], None]


class MemoryBroker:
    """Carries messages between its clients; make it where the loop runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._clients: dict[str, MemoryClient] = {}  # by client id, connected ones
        self._filters: dict[tuple[str, ...], dict[MemoryClient, None]] = {}
        self._exact: dict[str, dict[MemoryClient, None]] = {}  # filters without wildcards
        self._routes: dict[str, tuple[MemoryClient, ...]] = {}  # topics that were looked up
        self._retained: dict[str, bytes] = {}
        self._queue: deque[tuple[MemoryClient, int, str, bytes]] = deque()
        self._delivering = False

    def client(
        self,
        client_id: str,
        on_message: Handler,
        on_connect: Callable[[], None],
        on_error: Callable[[Exception], None],
        will: Callable[[], tuple[str, bytes]],
    ) -> MemoryClient:
        """A client, not yet connected; arguments as in `mqtt_client.connection.Connection`."""
        return MemoryClient(self, client_id, on_message, on_connect, on_error, will)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Queue a message for whoever subscribes to its topic now."""
        if retain:
            if payload:
                self._retained[topic] = payload
            else:
                self._retained.pop(topic, None)
        for client in self._receivers(topic):
            self._queue.append((client, client.life, topic, payload))
        self._wake()

    def join(self, client: MemoryClient) -> None:
        """Take a client in, and throw out another of its name."""
        other = self._clients.get(client.client_id)
        if other is not None:
            other.thrown_out()
        self._clients[client.client_id] = client
        for topic in client.topics:
            self.subscribe(client, topic)

    def leave(self, client: MemoryClient) -> None:
        """Forget a client and its subscriptions."""
        self._routes.clear()
        del self._clients[client.client_id]
        for topic in client.topics:
            exact = self._exact.get(topic)
            if exact is not None:
                exact.pop(client, None)
            filtered = self._filters.get(tuple(topic.split("/")))
            if filtered is not None:
                filtered.pop(client, None)

    def subscribe(self, client: MemoryClient, topic: str) -> None:
        """Deliver a topic (filter) from now on, and at once what is retained there."""
        self._routes.clear()
        levels = tuple(topic.split("/"))
        if "+" in levels or "#" in levels:
            self._filters.setdefault(levels, {})[client] = None
            found = [name for name in self._retained if _matches(levels, name.split("/"))]
        else:
            self._exact.setdefault(topic, {})[client] = None
            found = [topic] if topic in self._retained else []
        for name in found:
            self._queue.append((client, client.life, name, self._retained[name]))
        self._wake()

    def _receivers(self, topic: str) -> tuple[MemoryClient, ...]:
        """Each once, however many of its filters match."""
        route = self._routes.get(topic)
        if route is None:
            found = dict(self._exact.get(topic, {}))
            names = topic.split("/")
            for levels, clients in self._filters.items():
                if _matches(levels, names):
                    found |= clients
            route = self._routes[topic] = tuple(found)
        return route

    def _wake(self) -> None:
        if self._queue and not self._delivering:
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Deliver all that is queued, and what is published meanwhile."""
        try:
            while self._queue:
                client, life, topic, payload = self._queue.popleft()
                if client.life == life:
                    client.deliver(topic, payload)
        finally:
            self._delivering = False
            self._wake()


class MemoryClient:
    """`mqtt_client.client.Client` on a MemoryBroker."""

    def __init__(
        self,
        broker: MemoryBroker,
        client_id: str,
        on_message: Handler,
        on_connect: Callable[[], None],
        on_error: Callable[[Exception], None],
        will: Callable[[], tuple[str, bytes]],
    ) -> None:
        self.client_id = client_id
        self.topics: dict[str, None] = {}
        self.life = 0  # grows with every session and its end: a message reaches its own only
        self.connected = False
        self.waiting = 0  # what was published has arrived
        self._broker = broker
        self._on_message = on_message
        self._on_connect = on_connect
        self._on_error = on_error
        self._make_will = will
        self._will = ("", b"")
        self._in = [0, 0]  # messages, bytes
        self._out = [0, 0]

    @property
    def traffic(self) -> Traffic:
        """What went both ways, over all sessions."""
        return Traffic(self._in[0], self._out[0], self._in[1], self._out[1])

    async def connect(self, timeout: float) -> None:  # noqa: ASYNC109, ARG002 - as in Client
        """Open a session."""
        self._will = self._make_will()
        self._begin(connected=True)
        self._broker.join(self)
        self._guard(self._on_connect)

    def subscribe(self, *topics: str) -> None:
        """Receive these topics (filters)."""
        new = [topic for topic in topics if topic not in self.topics]
        self.topics.update(dict.fromkeys(new))
        if self.connected:
            for topic in new:
                self._broker.subscribe(self, topic)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send, in order.  Without a session there is nobody to send to."""
        if not self.connected:
            return
        self._out[0] += 1
        self._out[1] += len(payload)
        self._broker.publish(topic, payload, retain=retain)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - as in Client
        """Do nothing: all has arrived."""

    async def disconnect(self) -> None:
        """Leave cleanly."""
        if self.connected:
            self._broker.leave(self)
            self._begin(connected=False)

    def kill(self) -> None:
        """Vanish: the will fires."""
        if self.connected:
            self._broker.leave(self)
            self.thrown_out()

    def thrown_out(self) -> None:
        """Lose the session, not by leaving."""
        self._begin(connected=False)
        topic, payload = self._will
        self._broker.publish(topic, payload, retain=True)

    def deliver(self, topic: str, payload: bytes) -> None:
        """A message has come."""
        self._in[0] += 1
        self._in[1] += len(payload)
        self._guard(self._on_message, topic, payload)

    def _begin(self, *, connected: bool) -> None:
        self.life += 1
        self.connected = connected

    def _guard(self, handler: Callable[..., None], *args: object) -> None:
        """A broken handler must not take the others' messages with it."""
        try:
            handler(*args)
        except Exception as error:  # noqa: BLE001 - handed on, whole
            self._on_error(error)


def _matches(levels: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a topic filter takes a topic, both split at their slashes (MQTT 3.1.1, 4.7)."""
    if names[0].startswith("$") and levels[0] in ("+", "#"):
        return False
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index == len(names) or level not in ("+", names[index]):
            return False
    return len(names) == len(levels)
