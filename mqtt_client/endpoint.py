"""Where a broker is, and what can go wrong on the way there.  Imports no MQTT library."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEFAULT_PORT = 1883
MAX_PACKET = 256 * 1024  # bytes: the largest block of the protocol, and room for its envelope


class MqttError(Exception):
    """The base of what this package raises."""


class BrokerUnreachable(MqttError):  # noqa: N818 - says what happened
    """No session could be opened: nobody there, no answer in time, or refused."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"broker mqtt://{host}:{port} cannot be used: {why}")
        self.host = host
        self.port = port
        self.why = why


class PacketTooLarge(MqttError):  # noqa: N818 - says what happened
    """A publish that the broker would answer by closing the connection."""

    def __init__(self, topic: str, size: int, most: int) -> None:
        super().__init__(
            f"a message to {topic!r} makes a packet of {size} bytes, allowed are {most}"
        )
        self.topic = topic
        self.size = size
        self.most = most


class OutboxFull(MqttError):  # noqa: N818 - says what happened
    """More messages wait for the broker's acknowledgement than a connection will keep."""

    def __init__(self, client_id: str, waiting: int) -> None:
        super().__init__(f"client {client_id!r}: {waiting} messages wait for the broker already")
        self.client_id = client_id
        self.waiting = waiting


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's address, and who we are to it."""

    host: str
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, *, password: str | None = None) -> Endpoint:
        """Read `mqtt://[user@]host[:port]`; ValueError says what is wrong.

        A password inside the address is refused: addresses end up on command
        lines, in logs and in process lists.
        """
        parts = urlsplit(url)
        if parts.password is not None:
            raise ValueError(
                "a broker address must not hold a password: give it by file or environment"
            )
        if parts.scheme != "mqtt" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"broker address {url!r}: mqtt://host:port is what is allowed")
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"broker address {url!r}: the port must be 1 to 65535") from error
        if port == 0:
            raise ValueError(f"broker address {url!r}: the port must be 1 to 65535")
        return cls(parts.hostname, port or DEFAULT_PORT, parts.username, password)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"
