"""What training asks of a board's RAM: the choices there are, and the largest that fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.stored import Codes, StoredPlan, codes_of
from core.train import CoreError, Kind, Loss, Model, Recipe
from device_sim.lower import lower
from device_sim.twin.program import compile_graph
from tflite_models.boards import RUNTIME_RAM, STACK, Board
from tflite_models.errors import ModelError
from tflite_models.graph import Graph
from tflite_models.parameters import Layout, weights_of

WEIGHTS, BIASES = 1, 2  # bits of what trains of a step
WEIGHTED = (Kind.CONV, Kind.DEPTHWISE, Kind.DENSE)
FLOAT = 4
SAMPLES = 256  # whose order is kept
USUAL = Recipe(epochs=1, batch=16, learning_rate=0.1, momentum=0.9)  # clipping alone needs more


@dataclass(frozen=True)
class Choice:
    """Some parameters that train while the others stay, and how with the least memory.

    `bytes` of RAM: those parameters as float, the plan, gradients, activations.  What does not
    train is read from flash, and pruned parameters are nowhere.
    """

    name: str
    trains: bytes  # for each step of the core's model: WEIGHTS, BIASES, both
    parameters: int  # that train, pruned ones not among them
    tile: int  # samples that go through the network together
    bytes: int


def choices(graph: Graph, layout: Layout, recipe: Recipe = USUAL) -> tuple[Choice, ...]:
    """What can be trained of a graph in how much memory, most parameters first.

    All; the last layers, one fewer each time; the biases alone (Cai et al. 2020,
    arXiv:2007.11622, who find them worth most for their memory).  Raises ModelError where the
    graph cannot be trained.
    """
    model = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    layers = [i for i, step in enumerate(model.steps) if step.kind in WEIGHTED]
    both = WEIGHTS | BIASES
    named = [("all parameters", _trains(model, layers, both))]
    for count in range(len(layers) - 1, 0, -1):
        name = "last layer" if count == 1 else f"last {count} layers"
        named.append((name, _trains(model, layers[-count:], both)))
    named.append(("biases", _trains(model, layers, BIASES)))
    codes = codes_of(model, layout, weights_of(graph, layout))
    found = [_choice(model, codes, recipe, name, trains) for name, trains in named]
    return tuple(sorted(found, key=lambda choice: -choice.parameters))


def largest_that_fits(among: Sequence[Choice], board: Board) -> Choice | None:
    """The choice with the most parameters that a board's RAM has room for."""
    room = board.ram - RUNTIME_RAM - STACK
    return next((choice for choice in among if choice.bytes <= room), None)


def _trains(model: Model, layers: Iterable[int], what: int) -> bytes:
    chosen = set(layers)
    return bytes(what if i in chosen else 0 for i in range(len(model.steps)))


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
