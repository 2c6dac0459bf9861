"""One step of a device while it is being taken."""

from __future__ import annotations

from typing import Any

from device_sim.events import Effect, Publish, Refused, Topic
from device_sim.state import HELLO_WAIT, LAST_HELLO_WAIT, Device, Job, Retry, Stage
from wire.messages import (
    PROTOCOL,
    Announce,
    Decline,
    Hello,
    Message,
    Phase,
    Presence,
    Refusal,
    Status,
)

# NamedTuple._replace looks every field up, changed or not, and takes twice as long.
_PLACE = {name: place for place, name in enumerate(Device._fields)}


class Turn:
    """The device as it is becoming, and the effects so far; lives for one `step`."""

    __slots__ = ("device", "effects", "now")

    def __init__(self, device: Device, now: float) -> None:
        self.device = device
        self.now = now
        self.effects: list[Effect] = []

    @property
    def job(self) -> Job:
        """The job, where there must be one."""
        assert self.device.job is not None
        return self.device.job

    def change(self, **fields: Any) -> None:
        """Replace fields of the device."""
        values = list(self.device)
        for name, value in fields.items():
            values[_PLACE[name]] = value
        self.device = Device._make(values)

    def change_job(self, **fields: Any) -> None:
        """Replace fields of the device's job."""
        self.change(job=self.job._replace(**fields))

    def do(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def send(self, message: Message) -> None:
        """Publish to the aggregator; offline nothing is sent, the reconnect catches up."""
        if self.device.online:
            self.do(Publish(Topic.UP, message))

    def refuse(self, kind: str) -> None:
        """Count something that came in and was of no use."""
        self.do(Refused(kind))

    def say_state(self, status: Status) -> None:
        """Publish the retained Presence."""
        if self.device.online:
            self.do(Publish(Topic.STATE, Presence(self.device.session, status), retain=True))

    def say_hello(self) -> None:
        """Tell the aggregator who is there, and what model it holds."""
        device, traits = self.device, self.device.traits
        self.send(
            Hello(
                session=device.session,
                protocol=PROTOCOL,
                buffer=traits.buffer,
                samples=traits.samples,
                board=traits.board,
                base=device.model.base.digest if device.model else b"",
                version=device.model.version if device.model else 0,
                check=device.model.check if device.model else 0,
                gateway=traits.gateway,
            )
        )

    def expect_hello(self) -> None:
        """Start the clock that repeats the Hello of an idle device."""
        self.change(hello=self.first_hello)

    @property
    def first_hello(self) -> Retry:
        """When an idle device says Hello again, if it has nothing else to do from now on."""
        return Retry(self.now + HELLO_WAIT, HELLO_WAIT, LAST_HELLO_WAIT)

    def decline(self, reason: Refusal) -> None:
        """Give the job up and say why.

        Nobody answers a Decline: if it is lost, the Hello of an idle device
        brings the task again.
        """
        self.change(job=self.job.over(reason))
        self.send(Decline(self.job.task.round, reason))
        self.expect_hello()


def unheard(device: Device, announced: Announce) -> bool:
    """True when a device that should have been given work may have been forgotten."""
    job = device.job
    if announced.phase is Phase.FINISHED:
        return False
    if job is None or announced.phase is Phase.WAITING:
        return True
    if job.stage is Stage.DONE:
        return job.declined is not None or job.task.round < announced.round
    return job.stage is Stage.PULLING and device.pull is None
