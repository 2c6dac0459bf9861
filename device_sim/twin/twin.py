"""The NumPy implementation of Trainer: a float twin of an int8 .tflite graph.

Readable before fast: it is the reference that the C core is held against.
What is trained is what the file computes up to rounding: float weights s·q,
every activation clamped to the range its int8 tensor can represent, with the
gradient passed straight through inside that range and stopped outside.
"""

from __future__ import annotations

import numpy as np

from device_sim.trainer import F32, DivergedError, Labels, Trained
from device_sim.twin.augment import rotated
from device_sim.twin.checks import check_inputs, check_labels, check_loss
from device_sim.twin.loss import cross_entropy, squared_error
from device_sim.twin.op import Array, Arrays
from device_sim.twin.program import compile_graph
from device_sim.twin.random import Indices, Random
from device_sim.twin.run import backward, forward, held
from device_sim.twin.sgd import Rule, descend
from tflite_models.graph import Graph
from tflite_models.parameters import Layout
from tflite_models.scope import scope_of
from wire.messages import Recipe

EVALUATED = 32  # samples at a time without training: more would fall out of the cache


class Twin:
    """A Trainer for one graph.  Keeps no state between calls: threads may share it."""

    def __init__(self, graph: Graph, layout: Layout, *, reconstructs: bool = False) -> None:
        """Raise UnsupportedModel where the graph has what cannot be trained.

        `reconstructs`: an autoencoder, whose output is to equal its input; labels have
        no meaning then.
        """
        self.program = compile_graph(graph, layout)
        check_loss(self.program, reconstructs=reconstructs)
        self._reconstructs = reconstructs
        self.layout = layout
        self._pruned = np.flatnonzero(~layout.mask)
        self._decayed = np.ones(layout.size, np.float32)
        for slot in layout.slots:
            if slot.kind == "bias":
                self._decayed[slot.start : slot.stop] = 0.0

    def predict(self, weights: F32, x: F32) -> F32:
        """The logits (n, classes) of x (n, *input shape)."""
        check_inputs(self.program, self.layout, weights, x)
        params = self._params(weights)
        logits = np.empty((len(x), self.program.classes), np.float32)
        for i in range(0, len(x), EVALUATED):
            logits[i : i + EVALUATED] = forward(self.program, params, x[i : i + EVALUATED])[0]
        return logits

    def train(self, weights: F32, x: F32, y: Labels, recipe: Recipe, seed: int) -> Trained:
        """Train a copy of the weights as `sgd` says."""
        check_inputs(self.program, self.layout, weights, x)
        check_labels(y, len(x), 0 if self._reconstructs else self.program.classes)
        received = weights.copy()
        received[self._pruned] = 0.0
        trains = scope_of(self.layout, recipe.trains).mask
        rule = Rule(recipe, received, np.flatnonzero(~trains), self._decayed * trains)
        random = Random(seed)

        def gradient(at: F32, batch: Indices) -> F32:
            seen = x[batch]
            if recipe.rotation > 0.0:
                seen = rotated(seen, recipe.rotation, random)
            rounded = bool(recipe.fake_quantize)
            return self.loss_and_gradient(at, seen, y[batch], rounded=rounded)[1]

        with np.errstate(over="ignore", invalid="ignore"):
            before = self._loss(received, x, y)
            trained = descend(gradient, rule, len(x), random)
            after = self._loss(trained, x, y)
        if not (np.isfinite([before, after]).all() and np.isfinite(trained).all()):
            raise DivergedError(recipe)
        return Trained(trained, len(x), before, after)

    def loss_and_gradient(
        self, weights: Array, x: Array, y: Labels, *, rounded: bool = False
    ) -> tuple[float, Array]:
        """The mean loss and its gradient by all weights (size,), pruned ones too.

        `rounded`: activations are those of the int8 file, as `run.forward` says.
        """
        grad = np.zeros_like(weights)
        logits, passes = forward(self.program, self._params(weights), x, rounded=rounded)
        loss, by_logits = self._losses(logits, x, y, rounded=rounded)
        by_logits /= len(x)
        backward(self.program, passes, by_logits, self._params(grad))
        return loss / len(x), grad

    def _loss(self, weights: F32, x: F32, y: Labels) -> float:
        return self._losses(self.predict(weights, x), x, y)[0] / len(x)

    def _losses(
        self, outputs: Array, x: Array, y: Labels, *, rounded: bool = False
    ) -> tuple[float, Array]:
        """The sum over the samples, and its gradient by the outputs."""
        if not self._reconstructs:
            return cross_entropy(outputs, y)
        return squared_error(outputs, held(x.copy(), self.program.clamp, rounded=rounded))

    def _params(self, vector: Array) -> Arrays:
        """The flat vector as views, one for each slot."""
        return tuple(vector[s.start : s.stop].reshape(s.shape) for s in self.layout.slots)
