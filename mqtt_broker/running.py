"""What every kind of broker looks like once it runs."""

from __future__ import annotations

import errno
import ipaddress
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from mqtt_broker.errors import BrokerError, PortTaken
from mqtt_broker.settings import BrokerSettings
from mqtt_client.endpoint import Endpoint

TRIES = 5  # free ports to try: somebody may take one between our look and our use


class RunningBroker(ABC):
    """A broker that accepts connections at `endpoint` until `stop` or the end of the `with`.

    Nothing is kept over a restart: retained messages are gone, and clients
    say again who they are when their connection comes back.
    """

    def __init__(self, kind: str, endpoint: Endpoint) -> None:
        self.kind = kind
        self.endpoint = endpoint

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The process that serves; None when it is not ours."""

    @abstractmethod
    def check(self) -> None:
        """Raise BrokerError if it serves no more."""

    @abstractmethod
    def restart(self) -> None:
        """Stop, and start on the same port.  Every connection breaks."""

    @abstractmethod
    def stop(self) -> None:
        """Stop serving; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def on_a_port(settings: BrokerSettings, start: Callable[[int], None]) -> int:
    """Call `start` with the port of the settings, or with free ones until it works; the port."""
    if settings.port:
        check_free(settings.host, settings.port)
        start(settings.port)
        return settings.port
    for left in reversed(range(TRIES)):
        port = check_free(settings.host, 0)
        try:
            start(port)
        except PortTaken:
            if not left:
                raise
        else:
            return port
    raise AssertionError


def check_free(host: str, port: int) -> int:
    """The port, or a free one for 0; BrokerError when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            found: int = sock.getsockname()[1]
            return found
    except OSError as error:
        kind = PortTaken if error.errno == errno.EADDRINUSE else BrokerError
        raise kind(f"a broker cannot listen on {host} port {port}: {error.strerror}") from error


def address_for_clients(host: str) -> str:
    """Where clients of this machine find a broker that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not chosen here


def accepts(host: str, port: int) -> bool:
    """Whether somebody takes TCP connections there."""
    try:
        with socket.create_connection((address_for_clients(host), port), timeout=1.0):
            return True
    except OSError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
