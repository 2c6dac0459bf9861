"""Softmax regression on federated clients in bare NumPy: CLIENTS COHORT ROUNDS.

What the work itself costs: no devices, no messages, no objects.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from workload import BATCH, LEARNING_RATE, SAMPLES, clients, cohorts, zeros

weights, bias = zeros()
data = clients(int(sys.argv[1]))
began = time.perf_counter()
for cohort in cohorts(*(int(text) for text in sys.argv[1:4])):
    sums = [np.zeros_like(weights), np.zeros_like(bias)]
    for client in cohort:
        x, y = data[client]
        w, b = weights.copy(), bias.copy()
        for start in range(0, SAMPLES, BATCH):
            part, labels = x[start : start + BATCH], y[start : start + BATCH]
            logits = part @ w + b
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            odds /= odds.sum(axis=1, keepdims=True)
            odds[np.arange(len(labels)), labels] -= 1
            odds /= len(labels)
            w -= LEARNING_RATE * (part.T @ odds)
            b -= LEARNING_RATE * odds.sum(axis=0)
        sums[0] += w
        sums[1] += b
    weights, bias = (total / len(cohort) for total in sums)
print(json.dumps({"seconds": round(time.perf_counter() - began, 3)}))
