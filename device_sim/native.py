"""Trainer on the compiled core: what the twin computes, many times faster.

The twin reads the graph and checks it; the core trains.  Results differ from the
twin's by rounding only, and are the same to the last bit on every machine.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core import train as core
from core.pool import Lesson, Training, samples_of
from device_sim.lower import lower, step_bytes
from device_sim.shard import Shard
from device_sim.trainer import F32, DivergedError, Labels, Trained
from device_sim.twin.checks import (
    check_inputs,
    check_labels,
    check_loss,
    check_samples,
    check_weights,
)
from device_sim.twin.program import compile_graph
from tflite_models.errors import ModelError
from tflite_models.graph import Graph
from tflite_models.parameters import Layout
from tflite_models.scope import ALL, scope_of
from wire.codecs.peaks import budget_of
from wire.messages import Recipe

CACHE = 640 * 1024  # bytes of activations that go through the network together
VECTOR = 16  # samples: the core's vectors lie over them, on no path over more
MOST_TOGETHER = 2 * VECTOR


class Native:
    """A Trainer for one graph.  Threads may share it."""

    def __init__(
        self,
        graph: Graph,
        layout: Layout,
        *,
        reconstructs: bool = False,
        path: core.Path | None = None,
    ) -> None:
        """Raise UnsupportedModel where the graph has what cannot be trained.

        `reconstructs`: an autoencoder, as of Twin.  `path`: the instructions to use, by
        default the fastest that this machine has.
        """
        self.program = compile_graph(graph, layout)
        check_loss(self.program, reconstructs=reconstructs)
        self.layout = layout
        self._classes = 0 if reconstructs else self.program.classes
        loss = core.Loss.SQUARED_ERROR if reconstructs else core.Loss.CROSS_ENTROPY
        self.model = lower(graph, layout, self.program, loss)
        self._mask = layout.mask.astype(np.uint8)
        self._path = path
        self._tile = VECTOR if _shares_weights(self.model) else self._fitting()
        self._plan = self._laid_out(ALL, self._tile)
        self._partial = ALL, self._plan  # the last other choice of what trains
        self._seen: WeakKeyDictionary[Shard, core.Samples] = WeakKeyDictionary()
        self._taught: tuple[F32, tuple[Recipe, int | None], Lesson] | None = None

    def predict(self, weights: F32, x: F32) -> F32:
        """The logits (n, classes) of x (n, *input shape)."""
        check_inputs(self.program, self.layout, weights, x)
        return self._plan.predict(np.ascontiguousarray(x), _flat(weights))

    def train(self, weights: F32, x: F32, y: Labels, recipe: Recipe, seed: int) -> Trained:
        """Train a copy of the weights as device_sim/twin/sgd.py says."""
        labels = self._checked(weights, x, y)
        plan = self._plan_for(recipe.trains)
        try:
            trained, before, after = plan.train(
                *(core_recipe(recipe), np.ascontiguousarray(x), labels),
                *(seed & 0xFFFFFFFF, _flat(weights), self._mask),
            )
        except core.CoreError as error:
            raise _failure(error, recipe) from error
        return Trained(trained, len(x), before, after)

    def training(
        self, weights: F32, shard: Shard, recipe: Recipe, seed: int, budget: int | None = None
    ) -> Training:
        """What `train` does, for core.pool; `trained` reads the result.

        With a `budget`, as of a task, what changes is coded as wire.codecs.peaks does instead.
        """
        lesson = self._lesson_of(weights, recipe, budget)
        samples = self._seen.get(shard)
        if samples is None:
            samples = self._seen[shard] = self._samples_of(shard)
        return lesson.training(samples, seed & 0xFFFFFFFF)

    @staticmethod
    def trained(training: Training, recipe: Recipe) -> Trained:
        """The result of a training that the pool has done.  Raises as `train` does."""
        try:
            core.check("mf_train", training.status)
        except core.CoreError as error:
            raise _failure(error, recipe) from error
        return Trained(training.weights, training.samples.count, *training.losses)

    def loss_and_gradient(
        self, weights: F32, x: F32, y: Labels, *, rounded: bool = False
    ) -> tuple[float, F32]:
        """The mean loss and its gradient by all weights (size,), pruned ones too."""
        labels = self._checked(weights, x, y)
        return self._plan.gradient(np.ascontiguousarray(x), labels, _flat(weights), rounded=rounded)

    def _checked(self, weights: F32, x: F32, y: Labels) -> NDArray[np.int32]:
        """The labels as the core takes them.  Raises ValueError for what does not fit."""
        check_inputs(self.program, self.layout, weights, x)
        check_labels(y, len(x), self._classes)
        return np.ascontiguousarray(y, np.int32)

    def _samples_of(self, shard: Shard) -> core.Samples:
        """A device's samples as core.pool takes them.  Raises ValueError for what does not fit."""
        x, y = shard.x, shard.y
        check_samples(self.program, x)
        # The core looks at every class itself; one of more than 32 bits would be another there.
        check_labels(y, len(x), 0 if y.dtype == np.int32 else self._classes)
        return samples_of(np.ascontiguousarray(x), np.ascontiguousarray(y, np.int32))

    def _lesson_of(self, weights: F32, recipe: Recipe, budget: int | None) -> Lesson:
        """What a cohort has in common; the last one is kept."""
        if self._taught is not None:
            received, how, lesson = self._taught
            if received is weights and how == (recipe, budget):
                return lesson
        check_weights(self.layout, weights)
        plan = self._plan_for(recipe.trains)
        lesson = Lesson.of(plan, core_recipe(recipe), _flat(weights), self._mask)
        if budget is not None:
            scope = scope_of(self.layout, recipe.trains)
            lesson.code(scope.mask, budget_of(budget, scope.size))
        self._taught = weights, (recipe, budget), lesson
        return lesson

    def _plan_for(self, bits: bytes) -> core.Plan:
        """The plan of a choice of what trains; a run has one, so the last one is kept."""
        if not bits:
            return self._plan
        kept, plan = self._partial
        if kept != bits:
            scope_of(self.layout, bits)  # refuses what trains nothing
            plan = self._laid_out(bits, self._tile)
            self._partial = bits, plan
        return plan

    def _fitting(self) -> int:
        """How many samples to take at a time, for speed alone: it hangs on the path."""
        one, two = (self._laid_out(ALL, tile).memory(core.Recipe(1, 1), 0) for tile in (1, 2))
        fitting = min(max(CACHE // max(two - one, 1), 1), MOST_TOGETHER)
        return fitting if fitting < VECTOR else fitting // VECTOR * VECTOR

    def _laid_out(self, bits: bytes, tile: int) -> core.Plan:
        """The plan for so many samples at a time.

        How many changes no bit of a result, unless layers share weights: the gradients of all
        of them are added tile by tile.
        """
        trains = step_bytes(self.model, self.layout, bits)
        try:
            return core.Plan(self.model, trains, tile, self._path)
        except core.CoreError as error:
            raise ModelError("graph", f"the core cannot train it: {error}") from error


def _shares_weights(model: core.Model) -> bool:
    places = [place for step in model.steps for place in (step.weight, step.bias) if place >= 0]
    return len(set(places)) < len(places)


def _flat(weights: F32) -> F32:
    return np.ascontiguousarray(weights)


def _failure(error: core.CoreError, recipe: Recipe) -> Exception:
    if error.status == core.Status.DIVERGED:
        return DivergedError(recipe)
    return ValueError(f"{recipe}: {error}")


def core_recipe(recipe: Recipe) -> core.Recipe:
    """A task's recipe as the core takes it."""
    return core.Recipe(
        recipe.epochs,
        recipe.batch,
        recipe.learning_rate,
        recipe.momentum,
        recipe.weight_decay,
        recipe.proximal,
        recipe.clip_norm,
        recipe.rotation,
        recipe.fake_quantize,
    )
