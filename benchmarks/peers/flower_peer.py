"""The workload in Flower's simulation, clients in NumPy: CLIENTS COHORT ROUNDS."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

os.environ.setdefault("RAY_DISABLE_DOCKER_CPU_WARNING", "1")
import flwr
import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation
from workload import BATCH, LEARNING_RATE, SAMPLES, clients, zeros

logging.getLogger("flwr").setLevel(logging.ERROR)
count, size, rounds = (int(text) for text in sys.argv[1:4])
ends: list[float] = []


class Client(NumPyClient):
    """Trains one epoch."""

    held: list = []  # noqa: RUF012 - a process reads the data once

    def __init__(self, number: int) -> None:
        if not Client.held:
            Client.held = clients(count)
        self.x, self.y = Client.held[number]

    def fit(self, parameters, config):
        del config
        w, b = (part.copy() for part in parameters)
        for start in range(0, SAMPLES, BATCH):
            part, labels = self.x[start : start + BATCH], self.y[start : start + BATCH]
            logits = part @ w + b
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            odds /= odds.sum(axis=1, keepdims=True)
            odds[np.arange(len(labels)), labels] -= 1
            odds /= len(labels)
            w -= LEARNING_RATE * (part.T @ odds)
            b -= LEARNING_RATE * odds.sum(axis=0)
        return [w, b], SAMPLES, {}


class Strategy(FedAvg):
    """Notes when a round begins."""

    def configure_fit(self, server_round, parameters, client_manager):
        ends.append(time.perf_counter())
        return super().configure_fit(server_round, parameters, client_manager)


def client_of(context: Context):
    return Client(int(context.node_config["partition-id"])).to_client()


def server_of(context: Context) -> ServerAppComponents:
    del context
    strategy = Strategy(
        fraction_fit=size / count,
        fraction_evaluate=0.0,
        min_fit_clients=size,
        min_available_clients=count,
        initial_parameters=ndarrays_to_parameters(list(zeros())),
    )
    # The first round brings up the workers, and the start of the last ends the one before it.
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=rounds + 2))


run_simulation(
    server_app=ServerApp(server_fn=server_of),
    client_app=ClientApp(client_fn=client_of),
    num_supernodes=count,
    backend_config={"client_resources": {"num_cpus": 1}},
)
print(json.dumps({"seconds": round(ends[rounds + 1] - ends[1], 3), "version": flwr.__version__}))
