"""Where activations lie in RAM: lifetimes over the execution order, and a plan that shares bytes.

Operators are not run in place: a RESHAPE or an ADD has its output beside its
inputs.  Scratch memory that a kernel asks for is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflite_models.graph import Graph

ALIGNMENT = 4  # of every tensor: what word-wise kernels want
ATTEMPTS = 32  # at a better plan

Lives = dict[int, tuple[int, int]]  # tensor: the first and the last operator that needs it


@dataclass(frozen=True)
class Place:
    """One activation in the plan: bytes [offset, offset + size) while operators first…last run."""

    tensor: int
    size: int
    first: int
    last: int
    offset: int


@dataclass(frozen=True)
class Memory:
    """A plan and how good it can be: no plan needs fewer than `bound` bytes."""

    bound: int  # the most bytes alive during one operator
    size: int  # what the plan needs
    places: tuple[Place, ...]  # in the order of the tensors


def plan_memory(graph: Graph) -> Memory:
    """Place the activations greedily, the largest first, each as low as it fits.

    Greedy by size: Pisarchyk and Lee, Efficient Memory Management for Deep
    Neural Net Inference, arXiv:2001.03288.  Where that misses the bound, the
    tensor that reaches highest is placed first and all is tried again.
    """
    lives = _lives(graph)
    sizes = {i: graph.tensors[i].nbytes for i in lives}
    bound = _peak(lives, sizes)
    order = sorted(lives, key=lambda i: (-sizes[i], lives[i], i))
    best = places = _greedy(order, lives, sizes)
    for _ in range(ATTEMPTS):
        highest = max(places, key=lambda p: p.offset + p.size, default=None)
        if _size(best) <= bound or highest is None or highest.tensor == order[0]:
            break
        order.remove(highest.tensor)
        order.insert(0, highest.tensor)
        places = _greedy(order, lives, sizes)
        best = min(best, places, key=_size)
    return Memory(bound, _size(best), tuple(sorted(best, key=lambda p: p.tensor)))


def _greedy(order: list[int], lives: Lives, sizes: dict[int, int]) -> list[Place]:
    placed: list[Place] = []
    for i in order:
        first, last = lives[i]
        beside = [p for p in placed if p.first <= last and first <= p.last]
        placed.append(Place(i, sizes[i], first, last, _lowest(beside, sizes[i])))
    return placed


def _size(places: list[Place]) -> int:
    return max((p.offset + p.size for p in places), default=0)


def _lives(graph: Graph) -> Lives:
    """For each activation the first and last operator (by index) that needs it in memory."""
    lives = {i: (0, 0) for i in graph.inputs if graph.tensors[i].data is None}
    for operator in graph.operators:
        for i in operator.outputs:
            lives[i] = (operator.index, operator.index)
        for i in operator.inputs:
            if i in lives:
                lives[i] = (lives[i][0], operator.index)
    end = max(len(graph.operators) - 1, 0)
    return lives | {i: (lives[i][0], end) for i in graph.outputs if i in lives}


def _peak(lives: Lives, sizes: dict[int, int]) -> int:
    """The most bytes alive at once: every tensor adds its size at its first operator."""
    change: dict[int, int] = {}
    for i, (first, last) in lives.items():
        change[first] = change.get(first, 0) + sizes[i]
        change[last + 1] = change.get(last + 1, 0) - sizes[i]
    peak = alive = 0
    for step in sorted(change):
        alive += change[step]
        peak = max(peak, alive)
    return peak


def _lowest(beside: list[Place], size: int) -> int:
    """The lowest aligned offset at which `size` bytes overlap none of `beside`."""
    offset = 0
    for place in sorted(beside, key=lambda p: p.offset):
        if offset + size <= place.offset:
            break
        offset = max(offset, -(-(place.offset + place.size) // ALIGNMENT) * ALIGNMENT)
    return offset
