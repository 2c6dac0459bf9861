"""The work of a task: train from the held model on the own data, code the difference."""

from __future__ import annotations

from hashlib import blake2b

from device_sim.events import Update
from device_sim.models import Model
from device_sim.shard import Shard
from wire.codec import CODECS
from wire.messages import Task


def local_update(model: Model, shard: Shard, task: Task, device: str) -> Update:
    """Train as the task says and code what changed; the same arguments give the same bytes.

    Raises what the trainer raises: DivergedError, or ValueError for samples
    that do not fit the model.
    """
    base, before = model.base, model.floats
    seed = training_seed(device, task.seed)
    trained = base.trainer.train(before, shard.x, shard.y, task.recipe, seed)
    delta = (trained.weights - before)[base.layout.mask]
    data = CODECS[task.codec].encode(delta, base.bounds)
    return Update(data, trained.samples, trained.loss_before, trained.loss_after)


def training_seed(device: str, seed: int) -> int:
    """The 32-bit seed of one device's training: its own, but the same whenever it is asked."""
    return int.from_bytes(blake2b(f"{device} {seed}".encode(), digest_size=4).digest())
