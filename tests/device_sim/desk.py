"""A scripted aggregator on a real broker, and a fleet's run against it."""

import asyncio

from device_sim.fleet import run_fleet
from device_sim.settings import FleetSettings
from device_sim.twin import Twin
from mqtt_client.connection import Connection
from wire.cbor import decode, encode
from wire.messages import Hello, Presence
from wire.settings import WireSettings
from wire.topics import Topics


class Desk:
    """A scripted aggregator's connection; it notes every Presence, of gateways apart."""

    def __init__(self, endpoint, fleet, script):
        self.script, self.topics = script, Topics(fleet)
        self.presences = []
        self.gateways = []
        self.hellos = []
        self.deaf = False
        self.connection = Connection(endpoint, f"{fleet}-a", on_message=self.hear)
        self.connection.subscribe(*self.topics.from_devices)

    async def open(self):
        await self.connection.connect(5)
        self.tell(None, self.script.announce())

    async def close(self):
        self.connection.publish(self.topics.announce, b"", retain=True)
        for device in self.script.devices:
            self.connection.publish(self.topics.state(device), b"", retain=True)
        await self.connection.drain(5)
        await self.connection.disconnect()

    def hear(self, topic, payload):
        if self.deaf or not payload:
            return
        device, channel = self.topics.sender(topic)
        message = decode(payload)
        if isinstance(message, Presence):
            noted = self.gateways if channel == "gateway" else self.presences
            noted.append((device, message.session, message.status))
        if isinstance(message, Hello):
            self.hellos.append((device, message))
        for to, answer in self.script.hear(device, message):
            self.tell(to, answer)

    def tell(self, device, message):
        topic = self.topics.announce if device is None else self.topics.down(device)
        self.connection.publish(topic, encode(message), retain=device is None)


def run(
    endpoint, fleet, devices, script, block=1024, seed=1, during=None, trainer=Twin, **settings
):
    """A fleet and its aggregator until the run is over: (tally, desk)."""

    async def both():
        desk = Desk(endpoint, fleet, script)
        await desk.open()
        try:
            async with asyncio.timeout(60):
                running = asyncio.create_task(
                    run_fleet(
                        broker=endpoint,
                        fleet=fleet,
                        devices=devices,
                        settings=FleetSettings(**settings),
                        seed=seed,
                        wire=WireSettings(block=block),
                        trainer=trainer,
                    )
                )
                if during:
                    await during(desk, running)
                tally = await running
            await asyncio.sleep(0.05)  # the last presences
        finally:
            await desk.close()
        return tally, desk

    return asyncio.run(both())


def accepted(tally):
    """What the devices counted as accepted, each once."""
    counted = [(d, r, n) for d, t in tally.devices.items() for r, n in t.accepted]
    assert len(counted) == len(set(counted))
    return set(counted)


def taken(aggregator):
    """What the aggregator took."""
    return {(d, r, n.hex()) for d, r, n in aggregator.taken}
