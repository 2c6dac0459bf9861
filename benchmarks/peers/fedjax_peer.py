"""The workload in FedJAX: CLIENTS COHORT ROUNDS."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import jax

jax.tree_map = jax.tree_util.tree_map  # gone from JAX since FedJAX was written
import fedjax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from workload import BATCH, CLASSES, INPUTS, LEARNING_RATE, clients, cohorts  # noqa: E402

count, size, rounds = (int(text) for text in sys.argv[1:4])
data = clients(count)


def loss(params, batch, rng):
    del rng
    logits = batch["x"] @ params["w"] + params["b"]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch["y"][:, None], axis=1)
    return -jnp.mean(chosen)


algorithm = fedjax.algorithms.fed_avg.federated_averaging(
    jax.grad(loss),
    fedjax.optimizers.sgd(LEARNING_RATE),
    fedjax.optimizers.sgd(1.0),
    fedjax.ShuffleRepeatBatchHParams(batch_size=BATCH, num_epochs=1, seed=0),
)
state = algorithm.init({"w": jnp.zeros((INPUTS, CLASSES)), "b": jnp.zeros(CLASSES)})
sets = [fedjax.ClientDataset({"x": x, "y": y}) for x, y in data]
key = jax.random.PRNGKey(0)


def train(state, cohort):
    chosen = [(b"%d" % client, sets[client], key) for client in cohort]
    return algorithm.apply(state, chosen)[0]


train(state, range(size))  # compiles
began = time.perf_counter()
for cohort in cohorts(count, size, rounds):
    state = train(state, cohort)
jax.block_until_ready(state.params)
print(json.dumps({"seconds": round(time.perf_counter() - began, 3), "version": version("fedjax")}))
