"""Choose the scales between layers so that gradient descent moves all layers alike.

ReLU networks do not change when one layer's real values are divided by a
factor and the next layer's weights multiplied by it.  Gradient descent does:
a layer with large weights and small gradients hardly learns at any rate that
the others can bear, and folded batch normalisation leaves such layers.  The
sum of all squared weights is least where the layers balance (Neyshabur et al.
2015, arXiv:1506.02617; Stock et al. 2019, arXiv:1902.10416).

In an int8 file the factors are in the scales alone.  They are powers of two
here, so that no code, no multiplier and no answer changes by a bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tflite_models.graph import Graph, Operator, read_graph

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
HOMOGENEOUS = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RESHAPE", "ADD", "RELU")
SWEEPS = 100  # a chain of ten layers needs about thirty


def balance(file: bytes) -> bytes:
    """The same model with the scales of inner tensors multiplied by powers of two.

    The converter's file, before `strip` lets tensors share their scales.
    Inputs, outputs and whatever meets an operator that is not homogeneous
    (RELU6, SOFTMAX) keep theirs.
    """
    patched = bytearray(file)
    graph = read_graph(patched)  # its arrays are writable views of `patched`
    groups = _groups(graph)
    exponents = _exponents(graph, groups)
    moves = {tensor: -exponents[group] for tensor, group in groups.items()}
    for operator in _weighted(graph):
        source, target = moves[operator.inputs[0]], moves[operator.outputs[0]]
        moves |= dict(zip(operator.inputs[1:3], (target - source, target), strict=False))
    found = [(graph.tensors[i].quantization, move) for i, move in moves.items() if i >= 0]
    scales = [(q.scale, np.ldexp(q.scale, move)) for q, move in found if q is not None]
    for scale, moved in scales:  # after all were read: two tensors may share their bytes
        scale[...] = moved
    return bytes(patched)


def _groups(graph: Graph) -> dict[int, int]:
    """By activation tensor, the number of the group that shares its factor; group 0 keeps 1."""
    groups = {i: n for n, i in enumerate(_activations(graph), 1)}

    def join(tensors: set[int], into: int) -> None:
        joined = {groups[i] for i in tensors if i in groups}
        for tensor, group in groups.items():
            if group in joined:
                groups[tensor] = into

    for operator in graph.operators:
        tensors = {i for i in operator.inputs + operator.outputs if i in groups}
        if not _homogeneous(graph, operator):
            join(tensors, 0)
        elif operator.name not in WEIGHTED:
            join(tensors, min(groups[i] for i in tensors))
    join({*graph.inputs, *graph.outputs}, 0)
    return groups


def _exponents(graph: Graph, groups: dict[int, int]) -> dict[int, int]:
    """By group, the power of two that its values are divided by.

    Minimises Σ |W|² · (factor of the input / factor of the output)² over the
    layers, which is convex in the factors' logarithms, one group at a time.
    """
    edges = [
        (groups[op.inputs[0]], groups[op.outputs[0]], _energy(graph, op)) for op in _weighted(graph)
    ]
    logs = dict.fromkeys(groups.values(), 0.0)
    for _ in range(SWEEPS):
        for group in logs.keys() - {0}:
            into = sum(e * 4.0 ** logs[a] for a, b, e in edges if b == group != a)
            out = sum(e * 4.0 ** -logs[b] for a, b, e in edges if a == group != b)
            if into and out:
                logs[group] = float(np.log2(into / out)) / 4
    return {group: round(log) for group, log in logs.items()}


def _activations(graph: Graph) -> list[int]:
    written = [i for operator in graph.operators for i in operator.outputs]
    return [*graph.inputs, *written]


def _weighted(graph: Graph) -> Iterator[Operator]:
    return (operator for operator in graph.operators if operator.name in WEIGHTED)


def _homogeneous(graph: Graph, operator: Operator) -> bool:
    """Whether scaling the input (and bias) by a factor scales the output by it."""
    if operator.options.get("activation", "NONE") not in ("NONE", "RELU"):
        return False
    constant = [i for i in operator.inputs if i >= 0 and graph.tensors[i].data is not None]
    if operator.name not in WEIGHTED:
        return operator.name in HOMOGENEOUS and not (operator.name == "ADD" and constant)
    readers = [i for other in graph.operators for i in other.inputs]
    given = [i for i in operator.inputs[1:3] if i >= 0]
    return given == constant and all(readers.count(i) == 1 for i in given)


def _energy(graph: Graph, operator: Operator) -> float:
    """|W|² of the real weights; 0 where they are no constant."""
    weight = graph.tensors[operator.inputs[1]]
    if weight.data is None or weight.quantization is None:
        return 0.0
    shape = [1] * weight.data.ndim
    shape[weight.quantization.axis] = -1
    scale = weight.quantization.scale
    real = weight.data.astype(np.float64) * (scale.reshape(shape) if scale.size > 1 else scale)
    return float((real**2).sum())
