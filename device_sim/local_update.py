"""The work of a task: train from the held model on the own data, code the difference."""

from __future__ import annotations

from hashlib import blake2b

from device_sim.events import Update
from device_sim.feedback import Kept, left_out, owed
from device_sim.models import Model
from device_sim.shard import Shard
from tflite_models.scope import scope_of
from wire.codec import CODECS
from wire.messages import Task


def local_update(
    model: Model, shard: Shard, task: Task, device: str, kept: Kept | None = None
) -> Update:
    """Train as the task says and code what changed; the same arguments give the same bytes.

    `kept`: what earlier updates left out, which a codec with feedback makes up for.

    Raises what the trainer raises: DivergedError, or ValueError for samples
    that do not fit the model.
    """
    base, before = model.base, model.floats
    seed = training_seed(device, task.seed)
    trained = base.trainer.train(before, shard.x, shard.y, task.recipe, seed)
    scope = scope_of(base.layout, task.recipe.trains)
    delta, bounds = (trained.weights - before)[scope.mask], scope.bounds
    codec = CODECS[task.codec]
    owing = owed(delta, kept, base.digest, bounds) if codec.feedback else delta
    data = codec.encode(owing, bounds, task.budget, seed)
    if codec.feedback:
        said = codec.decode(data, owing.size, bounds)
        kept = Kept(base.digest, bounds, left_out(owing, said))
    return Update(data, trained.samples, trained.loss_before, trained.loss_after, kept)


def training_seed(device: str, seed: int) -> int:
    """The 32-bit seed of one device's training: its own, but the same whenever it is asked."""
    return int.from_bytes(blake2b(f"{device} {seed}".encode(), digest_size=4).digest())
