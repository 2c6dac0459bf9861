"""The workload in pfl, its model in NumPy: CLIENTS COHORT ROUNDS."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.internal.ops import numpy_ops
from pfl.internal.ops.selector import set_framework_module
from pfl.metrics import Metrics
from pfl.model.base import StatefulModel
from pfl.stats import MappedVectorStatistics
from workload import BATCH, LEARNING_RATE, SAMPLES, clients, zeros

count, size, rounds = (int(text) for text in sys.argv[1:4])


class Softmax(StatefulModel):
    """Weights and bias."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = dict(zip(("w", "b"), zeros(), strict=True))

    def get_parameters(self, placeholders=None):
        del placeholders
        return MappedVectorStatistics({k: v.copy() for k, v in self.parts.items()})

    def set_parameters(self, w):
        self.parts = {k: w[k].copy() for k in self.parts}

    def get_model_difference(self, other):
        before = other if isinstance(other, MappedVectorStatistics) else other.get_parameters()
        return MappedVectorStatistics({k: v - before[k] for k, v in self.parts.items()})

    def apply_model_update(self, statistics):
        self.parts = {k: v + statistics[k] for k, v in self.parts.items()}
        return self, Metrics()

    def save(self, dir_path):
        raise NotImplementedError(dir_path)

    def load(self, dir_path):
        raise NotImplementedError(dir_path)

    def evaluate(self, dataset, name_formatting_fn=lambda n: n, eval_params=None):
        del dataset, name_formatting_fn, eval_params
        return Metrics()

    def train(self, x, y):
        """One epoch in place."""
        w, b = self.parts["w"], self.parts["b"]
        for start in range(0, SAMPLES, BATCH):
            part, labels = x[start : start + BATCH], y[start : start + BATCH]
            logits = part @ w + b
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            odds /= odds.sum(axis=1, keepdims=True)
            odds[np.arange(len(labels)), labels] -= 1
            odds /= len(labels)
            w -= LEARNING_RATE * (part.T @ odds)
            b -= LEARNING_RATE * odds.sum(axis=0)


class InNumPy(FederatedAveraging):
    """pfl brings SGD for PyTorch and TensorFlow only."""

    def train_one_user(self, initial_model_state, model, user_dataset, central_context):
        del central_context
        model.train(*user_dataset.raw_data)
        return model.get_model_difference(initial_model_state), Metrics()


def main() -> None:
    data = clients(count)
    sampler = get_user_sampler("random", list(range(count)))
    users = FederatedDataset(lambda user: Dataset(raw_data=data[user]), sampler)
    backend = SimulatedBackend(training_data=users, val_data=None, postprocessors=[])
    params = NNAlgorithmParams(
        central_num_iterations=rounds,
        evaluation_frequency=rounds + 1,
        train_cohort_size=size,
        val_cohort_size=0,
    )
    local = NNTrainHyperParams(
        local_num_epochs=1, local_learning_rate=LEARNING_RATE, local_batch_size=BATCH
    )
    began = time.perf_counter()
    InNumPy().run(
        algorithm_params=params,
        backend=backend,
        model=Softmax(),
        model_train_params=local,
        model_eval_params=None,
        callbacks=[],
        send_metrics_to_platform=False,
    )
    seconds = round(time.perf_counter() - began, 3)
    print(json.dumps({"seconds": seconds, "version": version("pfl")}))


if __name__ == "__main__":
    set_framework_module(numpy_ops)
    main()
