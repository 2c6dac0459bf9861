"""The work of a task: train from the held model on the own data, code the difference."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from core.pool import Training
from core.train import Status
from device_sim.events import Update
from device_sim.feedback import Kept, left_out, owed
from device_sim.models import Model
from device_sim.native import Native
from device_sim.shard import Shard
from device_sim.trainer import Trained
from tflite_models.scope import scope_of
from wire.codec import CODECS
from wire.codecs.peaks import Peaks
from wire.messages import Task


class LocalUpdate(NamedTuple):
    """Train as the task says and code what changed; the same fields give the same bytes.

    `kept`: what earlier updates left out, which a codec with feedback makes up for.
    """

    model: Model
    shard: Shard
    task: Task
    device: str
    kept: Kept | None = None

    def __call__(self) -> Update:
        """All of it.

        Raises what the trainer raises: DivergedError, or ValueError for samples
        that do not fit the model.
        """
        model, shard, task = self.model, self.shard, self.task
        trainer = model.base.trainer
        return self._coded(trainer.train(model.floats, shard.x, shard.y, task.recipe, self._seed))

    def begin(self) -> Training | None:
        """The work of core.pool; None without the core.  Raises as all of it does."""
        trainer, task = self.model.base.trainer, self.task
        if not isinstance(trainer, Native):
            return None
        budget = task.budget if task.codec == Peaks.name else None
        return trainer.training(self.model.floats, self.shard, task.recipe, self._seed, budget)

    def finish(self, training: Training) -> Update:
        """The rest, once that is done.  Raises as all of it does."""
        task = self.task
        if training.size:
            before, after = training.losses
            return Update(training.update, training.samples.count, before, after, self.kept)
        if training.status == Status.OK and task.codec == Peaks.name:
            return self()  # what came out cannot be coded, and the codec in Python says why
        return self._coded(Native.trained(training, task.recipe))

    @property
    def _seed(self) -> int:
        return training_seed(self.device, self.task.seed)

    def _coded(self, trained: Trained) -> Update:
        base, task, kept = self.model.base, self.task, self.kept
        scope = scope_of(base.layout, task.recipe.trains)
        delta, bounds = (trained.weights - self.model.floats)[scope.mask], scope.bounds
        codec = CODECS[task.codec]
        owing = owed(delta, kept, base.digest, bounds) if codec.feedback else delta
        data = codec.encode(owing, bounds, task.budget, self._seed)
        if codec.feedback:
            said = codec.decode(data, owing.size, bounds)
            kept = Kept(base.digest, bounds, left_out(owing, said))
        return Update(data, trained.samples, trained.loss_before, trained.loss_after, kept)


def training_seed(device: str, seed: int) -> int:
    """The 32-bit seed of one device's training: its own, but the same whenever it is asked."""
    return int.from_bytes(blake2b(f"{device} {seed}".encode(), digest_size=4).digest())
