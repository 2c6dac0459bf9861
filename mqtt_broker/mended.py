"""amqtt, but for what it does wrong when many clients come or leave at once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from amqtt.broker import Broker

# Turns of the loop from a socket that was accepted to `stream_connected`; cut short, it leaks.
STEPS_TO_ACCEPT = 5

_SILENT = logging.getLogger("amqtt.silent")
_SILENT.disabled = True


class MendedBroker(Broker):  # type: ignore[misc]
    """amqtt's broker, with its faults worked around."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.writers: set[asyncio.StreamWriter] = set()
        self.served: set[int] = set()  # sessions, by id(), whose own subscriptions are taken

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one client, and close its socket, which amqtt leaves open if it was taken over."""
        self.writers.add(writer)
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _client_message_loop(self, client_session: Any, handler: Any) -> None:
        self.served.add(id(client_session))
        try:
            await super()._client_message_loop(client_session, handler)
        finally:
            self.served.discard(id(client_session))

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Any
    ) -> None:
        # Before it serves a new client, amqtt comes here with the subscriptions of all
        # clients, and fails when somebody subscribes meanwhile.
        if id(session) in self.served:
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def shutdown(self) -> None:
        """Stop at once; clients hear nothing.

        amqtt ends one session after the other while new ones come in, and has tasks
        that survive being cancelled once.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        self.logger = _SILENT
        for server in self._servers.values():
            for sock in server.instance.sockets:
                loop.remove_reader(sock)
        for _ in range(STEPS_TO_ACCEPT):
            await asyncio.sleep(0)
        for server in self._servers.values():
            server.instance.close()
        for writer in self.writers:
            writer.transport.abort()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.02)
