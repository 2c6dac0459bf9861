"""A broker inside this process (amqtt), for when Mosquitto is not installed.

For trusted clients on this machine only: amqtt has no limits on packets or
queues, does not enforce keep-alives (the will of a client that hangs never
fires) and lets any client end the session of another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import Any

from mqtt_broker.errors import BrokerError, PortTaken
from mqtt_broker.running import RunningBroker, is_loopback, on_a_port
from mqtt_broker.settings import BrokerSettings
from mqtt_client.endpoint import Endpoint

PATIENCE = 10.0  # seconds to begin and to end
LOUD = ("amqtt", "transitions")  # loggers that speak of every packet


class Embedded(RunningBroker):
    """amqtt on an event loop of its own in a thread of this process."""

    def __init__(self, settings: BrokerSettings, directory: Path) -> None:
        if not is_loopback(settings.host):
            raise BrokerError(
                f"the embedded broker does not listen on {settings.host}: it trusts its clients "
                "and is for this machine only (127.0.0.1). Use mosquitto for a network"
            )
        if settings.username:
            raise BrokerError(
                "the embedded broker asks for no passwords: leave broker.username empty, "
                "or use mosquitto"
            )
        self._host = settings.host
        self._log = logging.FileHandler(directory / "embedded.log", delay=True)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._serving: _Serving | None = None
        try:
            port = on_a_port(settings, self._start)
        except BaseException:
            self.stop()
            raise
        super().__init__("embedded", Endpoint(settings.host, port))

    @property
    def pid(self) -> int:
        """This process."""
        return os.getpid()

    def check(self) -> None:
        """Look after the thread."""
        if self._serving is not None and not self._serving.alive:
            raise BrokerError(f"the embedded broker at {self.endpoint} has ended")

    def restart(self) -> None:
        """Stop, and start on the same port.  Every connection breaks."""
        self._end()
        self._start(self.endpoint.port)

    def stop(self) -> None:
        """Stop serving; may be called again."""
        self._end()
        for name in LOUD:
            logging.getLogger(name).removeHandler(self._log)
        self._log.close()

    def _start(self, port: int) -> None:
        for name in LOUD:
            logger = logging.getLogger(name)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
            if self._log not in logger.handlers:
                logger.addHandler(self._log)
        self._serving = _Serving(self._host, port)

    def _end(self) -> None:
        if self._serving is not None:
            self._serving.end()
            self._serving = None


class _Serving:
    """One life of the broker: a thread from start to end."""

    def __init__(self, host: str, port: int) -> None:
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._enough = asyncio.Event()
        self._settled = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt-broker", daemon=True)
        self._thread.start()
        if not self._settled.wait(PATIENCE):
            raise BrokerError(f"the embedded broker did not start within {PATIENCE:g} s")
        if self._failure is not None:
            self._thread.join()
            text = f"the embedded broker cannot serve on {self._bind}: {self._failure}"
            raise (PortTaken if "in use" in text else BrokerError)(text) from self._failure

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop, and wait for the thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._enough.set)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise BrokerError(f"the embedded broker did not stop within {PATIENCE:g} s")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to the thread that started us
            self._failure = error
        finally:
            self._settled.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_failure)
        broker = _broker(self._bind)
        await broker.start()
        self._settled.set()
        await self._enough.wait()
        await broker.shutdown()


def _broker(bind: str) -> Any:
    # Imported here: no other kind of broker should pay for it.
    from mqtt_broker.mended import MendedBroker  # noqa: PLC0415

    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    return MendedBroker(
        {
            "listeners": {"default": {"type": "tcp", "bind": bind}},
            "plugins": {anonymous: {"allow_anonymous": True}},
        }
    )


def _log_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    logging.getLogger("amqtt").error(context["message"], exc_info=context.get("exception"))
