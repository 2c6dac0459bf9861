"""Start the broker that the settings ask for."""

from __future__ import annotations

import contextlib
import logging
import resource
from pathlib import Path

from mqtt_broker.credentials import password_of
from mqtt_broker.embedded import Embedded
from mqtt_broker.errors import BrokerError
from mqtt_broker.mosquitto import Mosquitto, find_mosquitto
from mqtt_broker.running import RunningBroker, accepts, is_loopback
from mqtt_broker.settings import BrokerSettings
from mqtt_client.endpoint import DEFAULT_PORT, BrokerUnreachable, Endpoint

MOST_FILES = 65_536

log = logging.getLogger(__name__)


def start(settings: BrokerSettings, directory: Path) -> RunningBroker:
    """Start a broker and wait until it accepts connections; use it in a `with`.

    Configuration and log of one of our own go to `directory`, made if need
    be.  BrokerError says why it does not run, BrokerUnreachable that an
    external one does not answer.
    """
    password = password_of(settings)
    kind = settings.kind
    if kind == "auto":
        kind = "mosquitto" if find_mosquitto() else "embedded"
    if kind == "external":
        return External(settings, password)
    directory.mkdir(parents=True, exist_ok=True)
    _allow_connections()
    if password is None and not is_loopback(settings.host):
        log.warning("the broker on %s asks nobody for a password", settings.host)
    if kind == "mosquitto":
        return Mosquitto(settings, directory, password)
    return Embedded(settings, directory)


def _allow_connections() -> None:
    """Raise the limit of open files as far as we may: 1,024 is usual, and a client takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit that it hides
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class External(RunningBroker):
    """A broker that somebody else runs."""

    def __init__(self, settings: BrokerSettings, password: str | None) -> None:
        port = settings.port or DEFAULT_PORT
        if not accepts(settings.host, port):
            raise BrokerUnreachable(settings.host, port, "nobody accepts connections there")
        username = settings.username or None
        super().__init__("external", Endpoint(settings.host, port, username, password))

    @property
    def pid(self) -> None:
        """Not our process."""

    def check(self) -> None:
        """Knock: that is all that can be known of it."""
        if not accepts(self.endpoint.host, self.endpoint.port):
            raise BrokerError(f"the broker at {self.endpoint} is gone")

    def restart(self) -> None:
        """Refuse: it is not ours."""
        raise BrokerError(f"the broker at {self.endpoint} is external: it is not ours to restart")

    def stop(self) -> None:
        """Leave it running: it is not ours."""
