"""What a device knows: frozen records, and when it wants to be woken.

What changes with every message is a NamedTuple: a changed copy takes a third of
the time that a frozen dataclass takes, and fleets are large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from device_sim.feedback import Kept, Said
from device_sim.models import Model, Models
from wire.blocks import Assembly
from wire.messages import NONCE_BYTES, Announce, Manifest, Offer, Refusal, Task

FIRST_WAIT = 2.0  # seconds without an answer before asking again; doubles up to LAST_WAIT
LAST_WAIT = 30.0
RESUME_WAIT = 1.0  # after a reconnect the Task usually comes again by itself: give it time
HELLO_WAIT = 4.0  # an idle device says Hello again, in case the first or its Task was lost
LAST_HELLO_WAIT = 60.0
SETTLE_WAIT = 3.0  # what a device gives the aggregator to answer its offers before it leaves
WINDOW = 8  # blocks asked for at a time
MAX_FAILURES = 3  # damaged objects a task may bring before the device gives up
MAX_UNSETTLED = 4


@dataclass(frozen=True, slots=True)
class Traits:
    """What does not change about a device."""

    id: str
    board: str
    buffer: int  # bytes: the largest block payload it takes, 256 to MAX_BLOCK
    flash: int  # bytes: the largest object it takes
    samples: int
    codecs: frozenset[str]
    models: Models  # pure, but for remembering what it has decoded before
    gateway: str = ""  # that speaks for it; empty: it speaks for itself


class Retry(NamedTuple):
    """When to do something again, and how long the wait has grown."""

    at: float
    wait: float
    most: float = LAST_WAIT

    @classmethod
    def start(cls, now: float, wait: float = FIRST_WAIT, most: float = LAST_WAIT) -> Retry:
        """Wait for the first time."""
        return cls(now + wait, wait, most)

    def again(self, now: float) -> Retry:
        """Wait twice as long as before."""
        wait = min(self.wait * 2, self.most)
        return self._replace(at=now + wait, wait=wait)

    def eased(self, now: float) -> Retry:
        """Wait half as long as before: there was an answer."""
        wait = max(self.wait / 2, FIRST_WAIT)
        return self._replace(at=now + wait, wait=wait)

    def postponed(self, now: float) -> Retry:
        """Wait as long as before, from now."""
        return self._replace(at=now + self.wait)


class Pull(NamedTuple):
    """An object on its way in.

    The Assembly is filled in place, the one thing here that is not copied:
    step only the newest state of a device.
    """

    manifest: Manifest
    assembly: Assembly
    awaited: int  # blocks of the last window that are still to come
    retry: Retry


class Stage(Enum):
    """How far a device has come with its task."""

    PULLING = "pulling"
    TRAINING = "training"
    OFFERED = "offered"  # waits for the verdict
    DONE = "done"  # judged, or declined


class Job(NamedTuple):
    """A task and what has become of it."""

    task: Task
    nonce: bytes
    due: float  # when the round's deadline passes
    stage: Stage = Stage.PULLING
    failures: int = 0
    offer: Offer | None = None  # OFFERED: as first sent
    update: bytes = b""  # OFFERED: the whole object, to serve blocks of
    retry: Retry | None = None  # OFFERED: of the offer
    declined: Refusal | None = None

    def over(self, declined: Refusal | None = None) -> Job:
        """What is left of it when it was judged, or declined."""
        return Job(self.task, self.nonce, self.due, Stage.DONE, self.failures, declined=declined)


class Device(NamedTuple):
    """All that a device remembers.  `device_sim.device.step` is how it changes."""

    traits: Traits
    session: int = 0  # grows by one with every connection; 0: never connected
    online: bool = False
    left: bool = False
    battery_low: bool = False
    announced: Announce | None = None  # the last one
    hello: Retry | None = None  # when an idle device repeats its Hello
    model: Model | None = None  # what it holds
    pull: Pull | None = None  # outlives its task: the next may want the same object
    job: Job | None = None
    # Offers of rounds that have gone by, without their data: the aggregator may have
    # taken them, and its answer been lost.
    unsettled: tuple[Offer, ...] = ()
    settle: Retry | None = None  # when they are sent again
    kept: Kept | None = None  # what updates left out, as if all that were said were accepted
    said: tuple[Said, ...] = ()  # those whose verdicts are still to come
    leave_at: float | None = None  # the run is over: leave then at the latest

    @property
    def at_rest(self) -> bool:
        """True when it has no work that a later round of the same run would end."""
        resting = self.job is None or self.job.stage is Stage.DONE
        return resting and not self.unsettled and self.leave_at is None

    @property
    def wake(self) -> float | None:
        """When the device wants its next Tick, on the caller's clock; None: not at all."""
        if self.left or not self.online:
            return None
        alarms = []
        job = self.job
        if job is not None:
            if job.retry is not None:
                alarms.append(job.retry.at)
            if job.stage is Stage.PULLING:
                alarms.append(job.due)
                if self.pull is not None:
                    alarms.append(self.pull.retry.at)
        if self.hello is not None:
            alarms.append(self.hello.at)
        if self.unsettled and self.settle is not None:
            alarms.append(self.settle.at)
        if self.leave_at is not None:
            alarms.append(self.leave_at)
        return min(alarms) if alarms else None


def nonce_of(device: str, task: Task) -> bytes:
    """Name the update that `device` makes for `task`: the same task, the same nonce."""
    text = f"{device} {task.seed} {task.round}".encode()
    return blake2b(text, digest_size=NONCE_BYTES).digest()


def same_work(one: Task, other: Task) -> bool:
    """True when two tasks ask for the same update, whatever there is to pull first."""
    if one is other:
        return True
    alike = replace(one, objects=other.objects, deadline=other.deadline, data=other.data)
    return alike == other
