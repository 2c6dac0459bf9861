"""FULLY_CONNECTED: one matrix product."""

from __future__ import annotations

from dataclasses import dataclass

from device_sim.twin.op import Array, Arrays, Saved, column_sums


@dataclass(frozen=True)
class Dense:
    """Params: weights (out, in) and, where the file has them, biases (out,).

    A sample is one row of `in` values, or several of them; `to` is the shape
    of a sample of the output.
    """

    to: tuple[int, ...]
    first: bool

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, *sample of rows · in values) → (n, *to)."""
        weights, *bias = params
        out = inputs[0].reshape(-1, weights.shape[1]) @ weights.T
        for b in bias:
            out += b
        return out.reshape(len(inputs[0]), *self.to), (inputs[0], *params)

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """The gradients by input and by weights and biases."""
        x, weights, *bias = saved
        rows = grad.reshape(-1, len(weights))
        by_params = (rows.T @ x.reshape(len(rows), -1), *(column_sums(rows) for _ in bias))
        if self.first:
            return (), by_params
        return ((rows @ weights).reshape(x.shape),), by_params
