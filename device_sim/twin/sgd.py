"""Stochastic gradient descent on the flat parameter vector.

For each batch, with g the gradient of its mean cross-entropy by the weights w,
those excluded that are pruned or that the recipe does not train:

    g ← g · min(1, clip_norm / ‖g‖)              (clip_norm > 0)
    g ← g + weight_decay · w                     (weights, not biases)
    g ← g + proximal · (w − w_received)          (FedProx, arXiv:1812.06127, eq. 2)
    v ← momentum · v + g
    w ← w − learning_rate · v

v is zero at the start.  Each epoch goes through a fresh permutation of the
samples; the last batch may be short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from device_sim.trainer import F32
from device_sim.twin.random import Indices, Random
from wire.messages import Recipe


@dataclass(frozen=True, eq=False)
class Rule:
    """The update of one batch, as the module says."""

    recipe: Recipe
    received: F32  # (size,)
    still: Indices  # parameters that stay as received: pruned, or not to be trained
    decayed: F32  # (size,) 1 for weights that train, 0 for others and for biases

    def step(self, weights: F32, velocity: F32, grad: F32) -> None:
        """Update weights and velocity in place; spends grad."""
        recipe = self.recipe
        grad[self.still] = 0.0  # set, not multiplied: so are those that are not finite
        if recipe.clip_norm > 0.0:
            norm = float(np.sqrt(grad @ grad))
            if norm > recipe.clip_norm:
                grad *= recipe.clip_norm / norm
        if recipe.weight_decay > 0.0:
            grad += recipe.weight_decay * self.decayed * weights
        if recipe.proximal > 0.0:
            grad += recipe.proximal * (weights - self.received)
        velocity *= recipe.momentum
        velocity += grad
        weights -= recipe.learning_rate * velocity


def batches(samples: int, recipe: Recipe, random: Random) -> Iterator[Indices]:
    """The samples of every batch of the training, in order; an epoch is drawn as it begins."""
    for _ in range(recipe.epochs):
        order = random.order(samples)
        for i in range(0, samples, recipe.batch):
            yield order[i : i + recipe.batch]


def descend(
    gradient: Callable[[F32, Indices], F32], rule: Rule, samples: int, random: Random
) -> F32:
    """The weights after training from `rule.received`.

    `gradient(weights, batch)` gives a fresh (size,) gradient of the mean loss
    over the samples in `batch`.  It may draw from `random` too.
    """
    weights = rule.received.copy()
    velocity = np.zeros_like(weights)
    for batch in batches(samples, rule.recipe, random):
        rule.step(weights, velocity, gradient(weights, batch))
    return weights
