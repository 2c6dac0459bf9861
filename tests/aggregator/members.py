"""Test devices on a broker, and the aggregator that the tests call for them."""

import asyncio
from pathlib import Path

from aggregator.errors import NoRunError
from aggregator.records import read_record
from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from mqtt_client.client import client_of
from wire.cbor import decode, encode
from wire.messages import Offer, Presence, Status
from wire.settings import WireSettings
from wire.topics import Topics

NAMES = ("a", "b", "c", "d")
BASE = Path(__file__).parents[1] / "fixtures" / "conv.tflite"


class Member:
    """A test device on a connection of its own; it takes `think` seconds over an update."""

    def __init__(self, device, broker, fleet, think=0.0):
        self.device, self.think = device, think
        self.topics = Topics(fleet)
        self.left = asyncio.Event()
        self.errors = []
        self.connection = client_of(
            broker,
            f"{fleet}-{device.name}",
            on_message=self.hear,
            on_connect=lambda: self.say(device.connect()),
            on_error=self.errors.append,
            will=lambda: (
                self.topics.state(device.name),
                encode(Presence(device.session + 1, Status.LOST)),
            ),
        )
        self.connection.subscribe(self.topics.down(device.name), self.topics.announce)

    def hear(self, _topic, payload):
        answers = self.device.hear(decode(payload))
        if self.think and any(isinstance(message, Offer) for _, message in answers):
            asyncio.get_running_loop().call_later(self.think, self.say, answers)
        else:
            self.say(answers)

    def say(self, answers):
        for channel, message in answers:
            topic = getattr(self.topics, channel)(self.device.name)
            self.connection.publish(topic, encode(message), retain=channel == "state")
        if self.device.finished:
            self.left.set()


async def leave(members):
    """Wait until all have done their part, and disconnect them."""
    for member in members.values():
        await asyncio.wait_for(member.left.wait(), 60)
        assert not member.errors
        await member.connection.drain(5)
        await member.connection.disconnect()


def call(broker, fleet, directory, **given):
    """aggregate(), with what the tests have in common."""
    arguments = {
        "broker": broker,
        "fleet": fleet.name,
        "base": BASE.read_bytes(),
        "run_dir": directory,
        "settings": FederatedSettings(rounds=3, deadline=20.0),
        "wire": WireSettings(),
        "expected": len(NAMES),
        "seed": 1,
        "evaluate": lambda file: len(file) % 7 / 7,
        "on_round": lambda record: None,
    }
    return aggregate(**(arguments | given))


def accepted(directory):
    """Updates that were accepted, round by round."""
    return [r.accepted for r in read_record(directory).rounds[1:]]


async def rounds_done(directory, number, within=60.0):
    """Wait until the run in `directory` has ended round `number`."""
    async with asyncio.timeout(within):
        while True:
            try:
                if read_record(directory).rounds[-1].number >= number:
                    return
            except (NoRunError, IndexError):
                pass
            await asyncio.sleep(0.02)
