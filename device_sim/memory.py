"""What training asks of a board's RAM: the choices there are, and the largest that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.stored import Codes, StoredPlan, codes_of
from core.train import CoreError, Loss, Model, Recipe
from device_sim.lower import lower, step_bytes
from device_sim.twin.program import compile_graph
from tflite_models.boards import RUNTIME_RAM, STACK, Board
from tflite_models.errors import ModelError
from tflite_models.graph import Graph
from tflite_models.parameters import Layout, weights_of
from tflite_models.scope import named_scopes

FLOAT = 4
SAMPLES = 256  # whose order is kept
USUAL = Recipe(epochs=1, batch=16, learning_rate=0.1, momentum=0.9)  # clipping alone needs more


@dataclass(frozen=True)
class Choice:
    """Some parameters that train while the others stay, and how with the least memory.

    `bytes` of RAM: those parameters as float, the plan, gradients, activations.  What does not
    train is read from flash, and pruned parameters are nowhere.
    """

    name: str  # as the setting `train` has it
    trains: bytes  # for each step of the core's model, as core.train.Plan takes it
    parameters: int  # that train, pruned ones not among them
    tile: int  # samples that go through the network together
    bytes: int


def choices(graph: Graph, layout: Layout, recipe: Recipe = USUAL) -> tuple[Choice, ...]:
    """What can be trained of a graph in how much memory, most parameters first.

    Raises ModelError where the graph cannot be trained.
    """
    model = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    codes = codes_of(model, layout, weights_of(graph, layout))
    found = [
        _choice(model, codes, recipe, name, step_bytes(model, layout, bits))
        for name, bits in named_scopes(layout).items()
    ]
    return tuple(sorted(found, key=lambda choice: -choice.parameters))


def largest_that_fits(among: Sequence[Choice], board: Board) -> Choice | None:
    """The choice with the most parameters that a board's RAM has room for."""
    room = board.ram - RUNTIME_RAM - STACK
    return next((choice for choice in among if choice.bytes <= room), None)


def _choice(
    model: Model, codes: Sequence[Codes | None], recipe: Recipe, name: str, trains: bytes
) -> Choice:
    """With one sample at a time, or with whole batches: those may need no gradient."""
    best: Choice | None = None
    for tile in (1, recipe.batch):
        try:
            plan = StoredPlan(model, trains, codes, tile)
        except CoreError as error:
            raise ModelError("graph", f"no device can train it: {error}") from error
        size = plan.parameters * FLOAT + plan.static_bytes + plan.memory(recipe, SAMPLES)
        if best is None or size < best.bytes:
            best = Choice(name, trains, plan.parameters, tile, size)
    assert best
    return best
