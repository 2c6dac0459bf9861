"""What an operator of the twin is, and the types that all of them share."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# float32 in use; nothing here casts, so tests can run the same code in float64.
Array = NDArray[np.floating[Any]]
Arrays = tuple[Array, ...]
Saved = tuple[NDArray[Any], ...]


class Op(Protocol):
    """One operator with its geometry fixed, for any batch size.

    Activations are (n, *sample shape), channels last as in the file.  An
    operator never writes into its arguments: arrays are shared between the
    branches of a graph.  Fused activations and clamps are not its business
    (`run`).
    """

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """The output, a new array; and what `backward` needs to know of this pass."""
        ...

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """From the loss's gradient by the output: its gradients by the inputs, and by the params.

        The first is empty where the operator was built with `first`: it reads
        what no parameter came before, so nobody asks.
        """
        ...


def column_sums(rows: Array) -> Array:
    """The sum of each column: the gradient of a bias.  As a product, since BLAS is faster at it."""
    return np.ones(len(rows), rows.dtype) @ rows
