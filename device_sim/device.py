"""A device as a pure state machine: `step(state, event, now) -> (state, effects)`.

It says who it is, pulls what a task needs, trains, offers its update until
there is a verdict, and leaves when the run is over.  Any bytes at all may come
in; what is of no use becomes a Refused effect and changes nothing.
docs/protocol.md has the flow of a round.
"""

from __future__ import annotations

from device_sim.download import ask_again, proceed, take_block
from device_sim.events import (
    BatteryLow,
    Connected,
    Effect,
    Event,
    Lost,
    NotTrained,
    Received,
    Stop,
    Tick,
    Topic,
    Trained,
)
from device_sim.offering import (
    finish_training,
    is_training,
    leave,
    offer_again,
    resume_offers,
    serve_update,
    set_aside,
    settle,
    take_verdict,
    wind_up,
)
from device_sim.reading import read
from device_sim.state import RESUME_WAIT, Device, Job, Retry, Stage, nonce_of, same_work
from device_sim.turn import Turn, unheard
from wire.errors import WireError
from wire.messages import (
    Announce,
    Block,
    Need,
    Phase,
    Refusal,
    Status,
    Task,
    Verdict,
)


def step(  # noqa: C901 - one arm for each event
    device: Device, event: Event, now: float
) -> tuple[Device, tuple[Effect, ...]]:
    """Let `event` happen to `device` at `now` (seconds on any clock that only goes forward).

    Effects are to be executed in order.  A device that has left ignores everything.
    """
    if device.left:
        return device, ()
    turn = Turn(device, now)
    match event:
        case Received(topic, payload):
            _receive(turn, topic, payload)
        case Tick():
            _tick(turn)
        case Connected():
            _connect(turn)
        case Lost():
            turn.change(online=False)
        case Trained():
            finish_training(turn, event)
        case NotTrained(task):
            if is_training(turn, task):
                turn.decline(Refusal.FAILED)
        case BatteryLow():
            turn.change(battery_low=True)
        case Stop():
            leave(turn)
    return turn.device, tuple(turn.effects)


def _receive(turn: Turn, topic: Topic, payload: bytes) -> None:
    try:
        message = read(payload)
    except WireError:
        turn.refuse("malformed")
        return
    match topic, message:
        case Topic.DOWN, Task():
            _task(turn, message)
        case Topic.DOWN, Block():
            take_block(turn, message)
        case Topic.DOWN, Need():
            serve_update(turn, message)
        case Topic.DOWN, Verdict():
            take_verdict(turn, message)
        case Topic.ANNOUNCE, Announce():
            _announce(turn, message)
        case _:
            turn.refuse(f"unexpected: {type(message).__name__}")


def _connect(turn: Turn) -> None:
    turn.change(online=True, session=turn.device.session + 1)
    turn.say_state(Status.ONLINE)
    if turn.device.announced:  # else nobody is there yet; the announcement will bring it
        turn.say_hello()
    pull = turn.device.pull
    if pull:
        turn.change(pull=pull._replace(retry=Retry.start(turn.now, RESUME_WAIT)))
    resume_offers(turn)
    if turn.device.announced and unheard(turn.device, turn.device.announced):
        turn.expect_hello()


def _announce(turn: Turn, announce: Announce) -> None:
    before, job = turn.device.announced, turn.device.job
    if announce.phase is Phase.FINISHED:
        turn.change(announced=announce)
        wind_up(turn)
        return
    if announce != before:
        turn.change(announced=announce, hello=turn.first_hello)
    stranger = before is None or before.session != announce.session
    if job and _gone_by(job, announce, stranger):
        set_aside(turn, job)
    if stranger:
        turn.say_hello()


def _gone_by(job: Job, announce: Announce, stranger: bool) -> bool:
    """True when the announced round makes the job pointless.

    An aggregator that begins anew with lower numbers ends it as well, in whatever
    phase it introduces itself: else its tasks would look old.
    """
    newer = announce.phase is Phase.TRAINING and announce.round > job.task.round
    return newer or (stranger and announce.round < job.task.round)


def _task(turn: Turn, task: Task) -> None:
    device, job = turn.device, turn.device.job
    if device.leave_at is not None:
        turn.refuse("task: the run is over")
    elif task.round < _newest_round(device):
        turn.refuse("task: older round")
    elif job and same_work(job.task, task):
        _task_again(turn, task)
    else:
        if job:
            set_aside(turn, job)
        _new_task(turn, task)


def _newest_round(device: Device) -> int:
    """The newest round that the device has heard of."""
    announced = device.announced
    training = announced is not None and announced.phase is Phase.TRAINING
    return max(
        announced.round if announced and training else 0,
        device.job.task.round if device.job else 0,
    )


def _new_task(turn: Turn, task: Task) -> None:
    nonce = nonce_of(turn.device.traits.id, task)
    turn.change(job=Job(task, nonce, turn.now + task.deadline), hello=None)
    reason = _objection(turn.device, task)
    if reason is None:
        proceed(turn)
    else:
        turn.decline(reason)


def _task_again(turn: Turn, task: Task) -> None:
    """The same task once more: whoever repeats it lacks our last word on it."""
    job = turn.job
    if job.stage is Stage.PULLING:
        turn.change_job(task=task, due=turn.now + task.deadline)
        proceed(turn)
    elif job.stage is Stage.OFFERED:
        offer_again(turn)
    elif job.declined is not None:
        turn.decline(job.declined)
    else:
        turn.refuse("task: repeated")


def _objection(device: Device, task: Task) -> Refusal | None:
    """Why the device will not take a task, if there is a reason."""
    traits = device.traits
    if device.battery_low:
        return Refusal.BATTERY
    if traits.samples == 0:
        return Refusal.NO_DATA
    if task.codec not in traits.codecs:
        return Refusal.UNSUPPORTED
    if any(manifest.size > traits.flash for manifest in task.objects):
        return Refusal.UNSUPPORTED
    return None


def _tick(turn: Turn) -> None:
    now = turn.now
    if turn.device.leave_at is not None and now >= turn.device.leave_at:
        leave(turn)
        return
    job = turn.device.job
    if job and job.stage is Stage.PULLING:
        _tick_pulling(turn, job)
    elif job and job.retry and now >= job.retry.at:
        offer_again(turn)
    device = turn.device
    if device.unsettled and device.settle and now >= device.settle.at:
        settle(turn)
    if device.hello and now >= device.hello.at:
        if device.announced and unheard(device, device.announced):
            turn.say_hello()
            turn.change(hello=device.hello.again(now))
        else:
            turn.change(hello=None)


def _tick_pulling(turn: Turn, job: Job) -> None:
    pull = turn.device.pull
    if turn.now >= job.due:
        # Too late for this round.  What has come stays: the next may want the same object.
        turn.change(job=None)
        turn.expect_hello()
    elif pull and turn.now >= pull.retry.at:
        ask_again(turn)
