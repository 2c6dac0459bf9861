"""How the mean update moves the model: state in, state out, nothing hidden.

A rule is one pure function.  Its state is a tuple of float64 arrays as long as
the update (none for fedavg), so the store can keep it as bytes and a resumed
run goes on bit for bit.

- fedavg   McMahan et al. 2017: step = lr · mean
- fedavgm  Hsu et al. 2019: v = momentum · v + mean; step = lr · v
- fedadam  Reddi et al. 2021, algorithm 2: m, v are the moments without bias
  correction, v starts at tau²; step = lr · m / (sqrt(v) + tau)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aggregator.settings import FederatedSettings

F64 = NDArray[np.float64]
State = tuple[F64, ...]

BETA2 = 0.99  # both as in the experiments of Reddi et al.
TAU = 1e-3


class Rule(Protocol):
    """A server optimiser."""

    def init(self, size: int) -> State:
        """The state before the first round, for updates of `size` values."""

    def apply(self, state: State, mean: F64) -> tuple[F64, State]:
        """The step that moves the model, and the state after it."""


@dataclass(frozen=True, slots=True)
class FedAvg:
    """The model moves by the mean."""

    learning_rate: float
    momentum: float = 0.0

    def init(self, size: int) -> State:  # noqa: ARG002 - keeps nothing
        """No state."""
        return ()

    def apply(self, state: State, mean: F64) -> tuple[F64, State]:
        """Step: lr · mean."""
        return self.learning_rate * mean, state


@dataclass(frozen=True, slots=True)
class FedAvgM:
    """FedAvg with heavy-ball momentum on the server."""

    learning_rate: float
    momentum: float

    def init(self, size: int) -> State:
        """Velocity, at rest."""
        return (np.zeros(size),)

    def apply(self, state: State, mean: F64) -> tuple[F64, State]:
        """Velocity: momentum · v + mean; step: lr · velocity."""
        velocity = self.momentum * state[0] + mean
        return self.learning_rate * velocity, (velocity,)


@dataclass(frozen=True, slots=True)
class FedAdam:
    """Adam on the server, with the mean update as its gradient."""

    learning_rate: float
    momentum: float

    def init(self, size: int) -> State:
        """First moment 0, second tau²."""
        return np.zeros(size), np.full(size, TAU**2)

    def apply(self, state: State, mean: F64) -> tuple[F64, State]:
        """Step: lr · m / (sqrt(v) + tau)."""
        first = self.momentum * state[0] + (1 - self.momentum) * mean
        second = BETA2 * state[1] + (1 - BETA2) * mean**2
        return self.learning_rate * first / (np.sqrt(second) + TAU), (first, second)


_RULES: Mapping[str, type[FedAvg | FedAvgM | FedAdam]] = {
    "fedavg": FedAvg,
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
}


def rule_of(settings: FederatedSettings) -> Rule:
    """The rule that the settings name."""
    return _RULES[settings.rule](settings.server_learning_rate, settings.server_momentum)
