"""CONV_2D: im2col and one matrix product."""

from __future__ import annotations

from dataclasses import dataclass

from device_sim.twin.op import Array, Arrays, Saved, column_sums
from device_sim.twin.window import Window


@dataclass(frozen=True)
class Conv2D:
    """Params: kernel (out, height, width, in) and, where the file has one, bias (out,)."""

    window: Window
    first: bool

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, in_h, in_w, in) → (n, out_h, out_w, out)."""
        kernel, *bias = params
        columns = self.window.columns(inputs[0])
        out = columns @ kernel.reshape(len(kernel), -1).T
        for b in bias:
            out += b
        shape = (len(inputs[0]), self.window.out_h, self.window.out_w, len(kernel))
        return out.reshape(shape), (columns, *params)

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """The gradients by input and by kernel and bias."""
        columns, kernel, *bias = saved
        rows = grad.reshape(-1, len(kernel))
        by_params = (rows.T @ columns, *(column_sums(rows) for _ in bias))
        if self.first:
            return (), by_params
        return (self.window.scatter(rows @ kernel.reshape(len(kernel), -1)),), by_params
