"""Where tensors and scratch memory lie in the arena.

Two blocks that are needed at the same time lie apart, except for a layer's input and output
as far as overlap.py allows.  Blocks are placed one after the other, each as low as it fits;
orders are searched until the plan is as small as the busiest layer alone, or for a fixed
number of trials with a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from firmware.compiler.network import Network
from firmware.compiler.overlap import Overlap, overlap_of

ALIGNMENT = 4
TRIALS = 3000


@dataclass(frozen=True)
class Block:
    """Bytes that are needed from the first to the last of some layers."""

    name: int | str  # a tensor, or the layer whose scratch it is
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Offsets in the arena: of tensors by index, of scratch by the layer's name."""

    offsets: dict[int | str, int]
    size: int
    bound: int  # no plan is smaller


class Planner:
    """The blocks of a network and what they allow each other.

    scratch: of each layer that a kernel of layers.h computes, the bytes that it needs.
    """

    def __init__(self, network: Network, scratch: dict[str, int]) -> None:
        self._network = network
        self.blocks = _blocks(network, scratch)
        self._overlaps: dict[tuple[int | str, int | str], Overlap] = {}
        for step, layer in enumerate(network.layers):
            for operand in set(layer.reads):
                overlap = overlap_of(layer, operand, fast=layer.name in scratch)
                if overlap is not None and self._last_read(operand) == step:
                    self._overlaps[operand, layer.output] = overlap

    def _last_read(self, tensor: int) -> int:
        return next(b.last for b in self.blocks if b.name == tensor)

    def plan(self) -> Plan:
        """The smallest plan that was found."""
        bound = self._bound()
        chance = random.Random(0)  # noqa: S311 - the same plan every time
        order = sorted(self.blocks, key=lambda b: (-b.size, b.first))
        best_order, best = order, self._place(order)
        for _ in range(TRIALS):
            if _size(best, self.blocks) <= bound:
                break
            order = list(best_order)
            moved = order.pop(chance.randrange(len(order)))
            order.insert(chance.randrange(len(order) + 1), moved)
            offsets = self._place(order)
            if _size(offsets, self.blocks) <= _size(best, self.blocks):
                best_order, best = order, offsets
        return Plan(best, _size(best, self.blocks), bound)

    def _place(self, order: Iterable[Block]) -> dict[int | str, int]:
        placed: list[Block] = []
        offsets: dict[int | str, int] = {}
        for block in order:
            beside = [b for b in placed if b.first <= block.last and block.first <= b.last]
            offsets[block.name] = next(
                at
                for at in sorted(self._candidates(block, beside, offsets))
                if all(self._apart(block, at, b, offsets[b.name]) for b in beside)
            )
            placed.append(block)
        return offsets

    def _candidates(
        self, block: Block, beside: list[Block], offsets: dict[int | str, int]
    ) -> set[int]:
        """Offsets at which the block touches the bottom or one of the blocks beside it."""
        found = {0}
        for b in beside:
            at = offsets[b.name]
            found.add(_aligned(at + b.size))
            as_output = self._overlaps.get((b.name, block.name))
            as_input = self._overlaps.get((block.name, b.name))
            if as_output is not None:
                found.add((at - as_output.gap) // ALIGNMENT * ALIGNMENT)
            if as_input is not None:
                found.add(_aligned(at + as_input.gap))
        return {at for at in found if at >= 0}

    def _apart(self, a: Block, at: int, b: Block, b_at: int) -> bool:
        if at + a.size <= b_at or b_at + b.size <= at:
            return True
        for (source, target), distance in (
            ((a.name, b.name), at - b_at),
            ((b.name, a.name), b_at - at),
        ):
            overlap = self._overlaps.get((source, target))
            if overlap is not None:
                return distance == overlap.gap if overlap.exact else distance >= overlap.gap
        return False

    def _bound(self) -> int:
        """The most bytes that any layer needs by itself, overlaps used as well as can be."""
        return max(
            self._need(step, layer.output, layer.reads)
            for step, layer in enumerate(self._network.layers)
        )

    def _need(self, step: int, output: int, reads: tuple[int, ...]) -> int:
        sizes = {b.name: b.size for b in self.blocks if b.first <= step <= b.last}
        apart = sum(sizes.values())
        saved = 0
        for operand in set(reads):
            overlap = self._overlaps.get((operand, output))
            if overlap is not None:
                together = max(sizes[output], overlap.gap + sizes[operand], sizes[operand])
                saved = max(saved, sizes[output] + sizes[operand] - together)
        return apart - saved


def _blocks(network: Network, scratch: dict[str, int]) -> tuple[Block, ...]:
    end = len(network.layers) - 1
    first = {network.input: 0} | {layer.output: i for i, layer in enumerate(network.layers)}
    last = dict(first)
    for i, layer in enumerate(network.layers):
        last |= dict.fromkeys(layer.reads, i)
        first[layer.output] = min(first[layer.output], i)
    for i, layer in reversed(list(enumerate(network.layers))):
        first[layer.output] = i  # several layers may write one tensor: the earliest counts
    last[network.output] = end
    tensors = [Block(t, network.tensors[t].bytes, first[t], last[t]) for t in first]
    spare = [
        Block(layer.name, scratch[layer.name], i, i)
        for i, layer in enumerate(network.layers)
        if scratch.get(layer.name)
    ]
    return (*tensors, *spare)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _size(offsets: dict[int | str, int], blocks: tuple[Block, ...]) -> int:
    return max(_aligned(offsets[b.name] + b.size) for b in blocks)
