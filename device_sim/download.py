"""Pulling what a task needs, base file and differences, block by block."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from device_sim.events import Train
from device_sim.feedback import kept_for
from device_sim.models import DamagedError, Model, UntrainableError
from device_sim.state import MAX_FAILURES, WINDOW, Device, Job, Pull, Retry, Stage
from device_sim.turn import Turn
from wire.blocks import Assembly
from wire.errors import WireError
from wire.messages import Block, Kind, Manifest, Refusal, Task


def proceed(turn: Turn) -> None:
    """Take the job's next step: train when the model is there, else pull what is missing."""
    task, held = turn.job.task, turn.device.model
    models = turn.device.traits.models
    known = models.led(held, task)
    if known is not None:
        _train(turn, known)
        return
    # Before anything is taken, and not after: where the task's own objects lead to another
    # version than it names, that would be given up and come to again for ever.
    _fall_back(turn)
    before = len(turn.effects)
    _go_on(turn)
    did = turn.effects[before:]
    if task.data and len(did) == 1 and isinstance(did[0], Train):  # all was inside, and sound
        models.remember(held, task, did[0].model)


def _train(turn: Turn, model: Model) -> None:
    """Begin the job's training; `model` is what its task wants to be trained."""
    device, job = turn.device, turn.job
    kept = kept_for(device.kept, device.said, job.task.round, job.nonce)
    training = Job(job.task, job.nonce, job.due, Stage.TRAINING, job.failures)
    turn.change(job=training, model=model, pull=None)
    turn.do(Train(job.task, model, kept))


def _go_on(turn: Turn) -> None:
    device, task = turn.device, turn.job.task
    if device.model and _is_what(task, device.model):
        _train(turn, device.model)
        return
    manifest = _next_object(device)
    if manifest is None:
        # The aggregator believes that we hold another model: a Hello puts it right, and
        # it repeats the task.  The idle clock spaces them out.
        turn.change(pull=None)
        turn.refuse("task: out of step")
        if device.hello is None:
            turn.say_hello()
            turn.expect_hello()
        return
    if task.data:
        data = _brought(task.data, task.objects).get(manifest)
        if data is not None:
            _take_object(turn, manifest, data)
            return
        turn.refuse("object: damaged")
    pull = device.pull
    if pull is None or pull.manifest != manifest:
        pull = _new_pull(turn, manifest)
    turn.change(pull=pull)
    if pull.assembly.done:
        _complete(turn)
    else:
        _ask(turn, pull.retry.postponed(turn.now))


@lru_cache(maxsize=16)  # a cohort is brought the same
def _brought(data: bytes, objects: tuple[Manifest, ...]) -> dict[Manifest, bytes]:
    """The objects that came inside a task, and are what their manifests say."""
    brought = {}
    at = 0
    for manifest in objects:
        piece = data[at : at + manifest.size]
        at += manifest.size
        if sha256(piece).digest() == manifest.digest:
            brought[manifest] = piece
    return brought if at == len(data) else {}


def ask_again(turn: Turn) -> None:
    """Ask once more, because nothing came for too long."""
    assert turn.device.pull is not None
    _ask(turn, turn.device.pull.retry.again(turn.now))


def take_block(turn: Turn, block: Block) -> None:
    """Add a block to the object on its way in."""
    pull = turn.device.pull
    if pull is None or block.id != pull.manifest.id:
        turn.refuse("block: not asked for")
        return
    try:
        new = pull.assembly.add(block)
    except WireError:
        turn.refuse("block: damaged")
        return
    if not new:
        turn.refuse("block: repeated")
        return
    pull = pull._replace(awaited=pull.awaited - 1, retry=pull.retry.postponed(turn.now))
    turn.change(pull=pull)
    job = turn.device.job
    if job is None or job.stage is not Stage.PULLING:
        return
    if pull.assembly.done:
        _complete(turn)
    elif pull.awaited <= 0:
        _ask(turn, pull.retry.eased(turn.now))


def _ask(turn: Turn, retry: Retry) -> None:
    """Ask for the next blocks that are missing."""
    pull = turn.device.pull
    assert pull is not None
    need = pull.assembly.missing(WINDOW)
    assert need is not None
    awaited = sum(byte.bit_count() for byte in need.bitmap)
    turn.change(pull=pull._replace(awaited=awaited, retry=retry))
    turn.send(need)


def _complete(turn: Turn) -> None:
    """Check the whole object and go on with it."""
    pull = turn.device.pull
    assert pull is not None
    try:
        data = pull.assembly.result()
    except WireError:
        _fail(turn)
    else:
        _take_object(turn, pull.manifest, data)


def _take_object(turn: Turn, manifest: Manifest, data: bytes) -> None:
    """Make the model of an object whose digest is right, and go on."""
    device = turn.device
    models = device.traits.models
    try:
        if manifest.kind is Kind.BASE:
            model = models.base(data, manifest, turn.job.task.base)
        else:
            assert device.model is not None
            model = models.advance(device.model, data, manifest)
    except DamagedError:
        _fail(turn)
    except UntrainableError:
        turn.change(pull=None)
        turn.decline(Refusal.UNSUPPORTED)
    else:
        turn.change(pull=None, model=model)
        task = turn.job.task
        if model.version == task.version and not _is_what(task, model):
            # The difference was made for another version than the one that we held.
            turn.change(model=models.start(model.base))
            _fail(turn)
        else:
            _go_on(turn)


def _fail(turn: Turn) -> None:
    """Throw a damaged object away and begin again, but not for ever."""
    turn.refuse("object: damaged")
    turn.change(pull=None)
    turn.change_job(failures=turn.job.failures + 1)
    if turn.job.failures >= MAX_FAILURES:
        turn.decline(Refusal.FAILED)
    else:
        _go_on(turn)


def _new_pull(turn: Turn, manifest: Manifest) -> Pull:
    assembly = Assembly(manifest, turn.device.traits.buffer)
    return Pull(manifest, assembly, 0, Retry.start(turn.now))


def _is_what(task: Task, model: Model) -> bool:
    """True when `model` is what the task wants to be trained."""
    held = model.base.digest, model.version, model.check
    return held == (task.base, task.version, task.check)


def _fall_back(turn: Turn) -> None:
    """Go back to the base file when the task begins there.

    The version that we hold is then none of the aggregator's, whatever its number.
    """
    model, task = turn.device.model, turn.job.task
    if model is None or model.base.digest != task.base or _is_what(task, model):
        return
    sources = [m.source for m in task.objects if m.kind is Kind.DIFFERENCE]
    if model.version and (sources == [0] or task.version == 0):
        turn.change(model=turn.device.traits.models.start(model.base))


def _next_object(device: Device) -> Manifest | None:
    """The first of the task's objects that brings the held model on."""
    assert device.job is not None
    task = device.job.task
    model = device.model
    held = model.version if model and model.base.digest == task.base else None
    for manifest in task.objects:
        if manifest.kind is Kind.BASE and held is None:
            return manifest
        if manifest.kind is Kind.DIFFERENCE and held == manifest.source < manifest.target:
            return manifest
    return None
