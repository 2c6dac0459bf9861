"""What a part of a run needs of MQTT, over a socket or inside one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mqtt_client.endpoint import Endpoint
from mqtt_client.memory import MemoryBroker
from mqtt_client.traffic import Traffic

Broker = Endpoint | MemoryBroker
Will = tuple[str, bytes]  # topic, payload: the broker publishes it retained, QoS 1


class Client(Protocol):
    """A named client of one broker; `mqtt_client.connection.Connection` says what each does."""

    @property
    def connected(self) -> bool:
        """True while subscriptions are in force."""

    @property
    def waiting(self) -> int:
        """Messages that the broker has not acknowledged."""

    @property
    def traffic(self) -> Traffic:
        """What went both ways."""

    async def connect(self, timeout: float) -> None:  # noqa: ASYNC109 - as in Connection
        """Open the first session."""

    def subscribe(self, *topics: str) -> None:
        """Receive these topics (filters)."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send with QoS 1."""

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - as in Connection
        """Wait until all has arrived."""

    async def disconnect(self) -> None:
        """Leave cleanly."""

    def kill(self) -> None:
        """Vanish: the will fires."""


def client_of(
    broker: Broker,
    client_id: str,
    *,
    on_message: Callable[[str, bytes], None],
    on_connect: Callable[[], None],
    on_error: Callable[[Exception], None],
    will: Callable[[], Will],
) -> Client:
    """A client of that broker, not yet connected; arguments as in Connection."""
    if isinstance(broker, MemoryBroker):
        return broker.client(client_id, on_message, on_connect, on_error, will)
    from mqtt_client.connection import Connection  # noqa: PLC0415 - only where there are sockets

    return Connection(
        broker,
        client_id,
        on_message=on_message,
        on_connect=on_connect,
        on_error=on_error,
        will=will,
    )
