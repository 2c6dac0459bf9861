"""Bringing an update home: offer it, serve its blocks, and repeat until there is a verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from device_sim.events import Judged, Leave, Trained, Unanswered, Update
from device_sim.feedback import Said, fold_back, kept_for
from device_sim.state import (
    MAX_UNSETTLED,
    RESUME_WAIT,
    SETTLE_WAIT,
    Job,
    Retry,
    Stage,
    same_work,
)
from device_sim.turn import Turn
from wire.blocks import serve
from wire.errors import WireError
from wire.messages import MAX_OBJECT, Kind, Need, Offer, Reason, Refusal, Status, Task, Verdict
from wire.objects import manifest_of


def is_training(turn: Turn, task: Task) -> bool:
    """True when the work of `task` is what the device waits for."""
    job = turn.device.job
    return job is not None and job.stage is Stage.TRAINING and same_work(job.task, task)


def finish_training(turn: Turn, event: Trained) -> None:
    """Offer the update that training gave; one that nobody waits for any more is dropped."""
    if not is_training(turn, event.task):
        return
    job, update = turn.job, event.update
    if not 0 < len(update.data) <= MAX_OBJECT:
        turn.decline(Refusal.FAILED)
        return
    inline = len(update.data) <= turn.device.traits.buffer
    offer = Offer(
        round=job.task.round,
        nonce=job.nonce,
        version=job.task.version,
        codec=job.task.codec,
        samples=update.samples,
        loss_before=update.loss_before,
        loss_after=update.loss_after,
        manifest=manifest_of(Kind.UPDATE, update.data),
        data=update.data if inline else b"",
        check=job.task.check,
        trains=job.task.recipe.trains,
    )
    retry = Retry.start(turn.now)
    turn.change(
        job=Job(
            job.task, job.nonce, job.due, Stage.OFFERED, job.failures, offer, update.data, retry
        )
    )
    _keep(turn, offer, update)
    turn.send(offer)


def _keep(turn: Turn, offer: Offer, update: Update) -> None:
    """Note what an update left out, and what it says until there is a verdict."""
    kept, before = update.kept, turn.device.kept
    if kept is None:
        return
    name = offer.round, offer.nonce
    same = before is not None and before.vector == kept.vector
    if same and any((s.round, s.nonce, s.data) == (*name, update.data) for s in turn.device.said):
        return  # made again after a loss of power: what it left out has been kept since
    others = tuple(s for s in turn.device.said if same and (s.round, s.nonce) != name)
    origin = kept_for(before, turn.device.said, *name) if same else None
    values = origin.values if origin else np.zeros_like(kept.values)
    said = Said(*name, offer.codec, update.data, values)
    turn.change(kept=kept, said=(*others, said))
    while len(turn.device.said) > MAX_UNSETTLED + 1:
        oldest = turn.device.said[0]
        _settled(turn, oldest.round, oldest.nonce, accepted=False)


def _settled(turn: Turn, number: int, nonce: bytes, *, accepted: bool) -> None:
    """What was said and not accepted is owed again."""
    if not turn.device.said:
        return
    kept = turn.device.kept
    for said in turn.device.said:
        if (said.round, said.nonce) == (number, nonce) and kept is not None and not accepted:
            turn.change(kept=fold_back(kept, said))
    left = tuple(s for s in turn.device.said if (s.round, s.nonce) != (number, nonce))
    turn.change(said=left)


def offer_again(turn: Turn) -> None:
    """Send the same bytes once more: the offer, or its verdict, may have been lost."""
    assert turn.job.offer is not None
    assert turn.job.retry is not None
    turn.change_job(retry=turn.job.retry.again(turn.now))
    turn.send(turn.job.offer)


def serve_update(turn: Turn, need: Need) -> None:
    """Send the blocks of the update that the aggregator lacks."""
    job = turn.device.job
    if job is None or job.offer is None or need.id != job.offer.manifest.id:
        turn.refuse("need: unknown object")
        return
    if need.block > turn.device.traits.buffer:
        turn.refuse("need: block too large")
        return
    try:
        blocks = serve(need, {need.id: job.update})
    except WireError:
        turn.refuse("need: no such blocks")
        return
    assert job.retry is not None
    turn.change_job(retry=job.retry.eased(turn.now))
    for block in blocks:
        turn.send(block)


def take_verdict(turn: Turn, verdict: Verdict) -> None:
    """Note the aggregator's answer, and forget the update."""
    job, name = turn.device.job, (verdict.round, verdict.nonce)
    if job and job.offer and name == (job.task.round, job.nonce):
        turn.change(job=job.over())
    elif any(name == (offer.round, offer.nonce) for offer in turn.device.unsettled):
        left = tuple(o for o in turn.device.unsettled if name != (o.round, o.nonce))
        turn.change(unsettled=left)
    elif any(name == (said.round, said.nonce) for said in turn.device.said):
        pass  # of before a loss of power
    else:
        turn.refuse("verdict: nothing to judge")
        return
    accepted = verdict.reason is Reason.ACCEPTED
    _settled(turn, verdict.round, verdict.nonce, accepted=accepted)
    turn.do(Judged(verdict.round, verdict.nonce, verdict.reason))
    if turn.device.leave_at is not None and not turn.device.unsettled:
        leave(turn)


def set_aside(turn: Turn, job: Job) -> None:
    """Give up a job; an offer that has no verdict yet goes on being repeated, without its data.

    At once for the first time: the aggregator remembers a device's last answer
    only, and the next offer will replace it.
    """
    turn.change(job=None)
    if job.offer is None:
        return
    bare = replace(job.offer, data=b"")
    unsettled = (*turn.device.unsettled, bare)
    _forget(turn, unsettled[:-MAX_UNSETTLED])
    turn.change(unsettled=unsettled[-MAX_UNSETTLED:], settle=Retry.start(turn.now))
    turn.send(bare)


def settle(turn: Turn) -> None:
    """Ask again what became of the offers of earlier rounds."""
    assert turn.device.settle is not None
    turn.change(settle=turn.device.settle.again(turn.now))
    for offer in turn.device.unsettled:
        turn.send(offer)


def resume_offers(turn: Turn) -> None:
    """After a reconnect: repeat what is unanswered."""
    if turn.device.job and turn.device.job.offer:
        turn.change_job(retry=Retry.start(turn.now, RESUME_WAIT))
    if turn.device.unsettled:
        turn.change(settle=Retry.start(turn.now))
        settle(turn)
    if turn.device.leave_at is not None:
        turn.change(leave_at=turn.now + SETTLE_WAIT)


def wind_up(turn: Turn) -> None:
    """The run is over: leave, but first hear what became of the last offers."""
    if turn.device.leave_at is not None:
        return
    if turn.device.job:
        set_aside(turn, turn.device.job)
    turn.change(hello=None, pull=None)
    if turn.device.unsettled:
        turn.change(leave_at=turn.now + SETTLE_WAIT)
    else:
        leave(turn)


def leave(turn: Turn) -> None:
    """Say goodbye."""
    job = turn.device.job
    _forget(turn, turn.device.unsettled)
    _forget(turn, (job.offer,) if job and job.offer else ())
    turn.say_state(Status.SLEEPING)
    turn.change(left=True, job=None, pull=None, unsettled=())
    turn.do(Leave())


def _forget(turn: Turn, offers: tuple[Offer, ...]) -> None:
    for offer in offers:
        _settled(turn, offer.round, offer.nonce, accepted=False)
        turn.do(Unanswered(offer.round, offer.nonce))
