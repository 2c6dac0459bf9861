"""What training asks of a board's RAM: the choices there are, and the largest that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.train import Loss, Model, Path, Plan, Recipe
from device_sim.lower import lower, step_bytes
from device_sim.twin.program import compile_graph
from tflite_models.boards import RUNTIME_RAM, STACK, Board
from tflite_models.graph import Graph
from tflite_models.parameters import Layout
from tflite_models.scope import named_scopes, scope_of

FLOAT = 4
SAMPLES = 256  # whose order is kept
PLAIN = Recipe(epochs=1, batch=16, learning_rate=0.1)  # momentum would keep one more float each


@dataclass(frozen=True)
class Choice:
    """Some parameters that train while the others stay.

    `bytes` of RAM: all parameters as float, their mask, the plan, activations and
    gradients of one sample at a time.
    """

    name: str  # as the setting `train` has it
    trains: bytes  # for each step of the core's model, as core.train.Plan takes it
    parameters: int  # that train, pruned ones not among them
    bytes: int


def choices(graph: Graph, layout: Layout) -> tuple[Choice, ...]:
    """What can be trained of a graph, most parameters first.

    Raises UnsupportedModel where the graph cannot be trained.
    """
    model = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    found = [_choice(model, layout, *named) for named in named_scopes(layout).items()]
    return tuple(sorted(found, key=lambda choice: -choice.parameters))


def largest_that_fits(among: Sequence[Choice], board: Board) -> Choice | None:
    """The choice with the most parameters that a board's RAM has room for."""
    room = board.ram - RUNTIME_RAM - STACK
    return next((choice for choice in among if choice.bytes <= room), None)


def _choice(model: Model, layout: Layout, name: str, bits: bytes) -> Choice:
    trains = step_bytes(model, layout, bits)
    plan = Plan(model, trains, tile=1, path=Path.PORTABLE)
    own = layout.size * (FLOAT + 1)  # every parameter, and a byte of mask
    size = own + plan.own_bytes + plan.memory(PLAIN, SAMPLES)
    return Choice(name, trains, scope_of(layout, bits).size, size)
