"""Whether a file is what was asked for: int8, small operators, the zeros, the accuracy."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BudgetError, BuildError
from pipeline.prune import sparsity_of
from pipeline.settings import PruneSettings
from tflite_models.graph import Graph, read_graph

ALLOWED = frozenset(
    {
        "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D",
        "MEAN", "ADD", "RESHAPE", "SOFTMAX",
    }
)  # fmt: skip

# More than this between the fake-quantised model and its file is a broken conversion;
# rounding differs by a few samples at most.
MOST_LOST = 0.05


def gzip_size(data: bytes) -> int:
    """Bytes after gzip at its best level."""
    return len(gzip.compress(data, 9, mtime=0))


def sparsity_in(file: bytes, *, depthwise: bool) -> float:
    """The share of zeros over the int8 kernels that pruning is about, all together."""
    return sparsity_of(_kernels(read_graph(file), depthwise=depthwise))


def verify(file: bytes, prune: PruneSettings, trained: float, accuracy: float) -> None:
    """Check a built file.

    Args:
        file: the int8 .tflite.
        prune: what was asked for.
        trained: test accuracy of the fake-quantised model that the file was made from.
        accuracy: test accuracy of the file in the stock interpreter.

    Raises:
        BuildError: an operator that a device does not have, ports that are not int8, or
            accuracy lost in the conversion.
        BudgetError: fewer zeros than asked for.
    """
    graph = read_graph(file)
    foreign = sorted({op.name for op in graph.operators} - ALLOWED)
    if foreign:
        raise BuildError(
            f"the file holds the operators {', '.join(foreign)}; "
            f"a device has {', '.join(sorted(ALLOWED))}"
        )
    for index in graph.inputs + graph.outputs:
        if graph.tensors[index].dtype != np.int8:
            raise BuildError(f"tensor {index}, a port of the file, is {graph.tensors[index].dtype}")
    found = sparsity_of(_kernels(graph, depthwise=prune.depthwise))
    if found < prune.sparsity:
        raise BudgetError(
            f"the file's kernels hold {found:.2%} zeros; prune.sparsity = {prune.sparsity} is asked"
        )
    if trained - accuracy > MOST_LOST:
        raise BuildError(
            f"the file's accuracy is {accuracy:.2%}, that of the model it was made from "
            f"{trained:.2%}: the conversion lost more than {MOST_LOST:.0%}"
        )


def _kernels(graph: Graph, *, depthwise: bool) -> list[NDArray[Any]]:
    pruned = {"CONV_2D", "FULLY_CONNECTED"} | ({"DEPTHWISE_CONV_2D"} if depthwise else set())
    indices = {op.inputs[1]: None for op in graph.operators if op.name in pruned}
    kernels = (graph.tensors[i].data for i in indices)
    return [k for k in kernels if k is not None]
