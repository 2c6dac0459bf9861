"""What training asks of a board's RAM: the choices there are, and the largest that fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.train import Kind, Loss, Model, Path, Plan, Recipe, Step
from device_sim.lower import lower
from device_sim.twin.program import compile_graph
from tflite_models.boards import RUNTIME_RAM, STACK, Board
from tflite_models.graph import Graph
from tflite_models.parameters import Layout

WEIGHTS, BIASES = 1, 2  # bits of what trains of a step
WEIGHTED = (Kind.CONV, Kind.DEPTHWISE, Kind.DENSE)
FLOAT = 4
SAMPLES = 256  # whose order is kept
PLAIN = Recipe(epochs=1, batch=16, learning_rate=0.1)  # momentum would keep one more float each


@dataclass(frozen=True)
class Choice:
    """Some parameters that train while the others stay.

    `bytes` of RAM: all parameters as float, their mask, the plan, activations and
    gradients of one sample at a time.
    """

    name: str
    trains: bytes  # for each step of the core's model: WEIGHTS, BIASES, both
    parameters: int  # that train, pruned ones not among them
    bytes: int


def choices(graph: Graph, layout: Layout) -> tuple[Choice, ...]:
    """What can be trained of a graph, most parameters first.

    All; the last layers, one fewer each time; the biases alone (Cai et al. 2020,
    arXiv:2007.11622, who find them worth most for their memory).  Raises UnsupportedModel
    where the graph cannot be trained.
    """
    model = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    layers = [i for i, step in enumerate(model.steps) if step.kind in WEIGHTED]
    both = WEIGHTS | BIASES
    named = [("all parameters", _trains(model, layers, both))]
    for count in range(len(layers) - 1, 0, -1):
        name = "last layer" if count == 1 else f"last {count} layers"
        named.append((name, _trains(model, layers[-count:], both)))
    named.append(("biases", _trains(model, layers, BIASES)))
    found = [_choice(model, layout, name, trains) for name, trains in named]
    return tuple(sorted(found, key=lambda choice: -choice.parameters))


def largest_that_fits(among: Sequence[Choice], board: Board) -> Choice | None:
    """The choice with the most parameters that a board's RAM has room for."""
    room = board.ram - RUNTIME_RAM - STACK
    return next((choice for choice in among if choice.bytes <= room), None)


def _trains(model: Model, layers: Iterable[int], what: int) -> bytes:
    chosen = set(layers)
    return bytes(what if i in chosen else 0 for i in range(len(model.steps)))


def _choice(model: Model, layout: Layout, name: str, trains: bytes) -> Choice:
    plan = Plan(model, trains, tile=1, path=Path.PORTABLE)
    own = layout.size * (FLOAT + 1)  # every parameter, and a byte of mask
    size = own + plan.own_bytes + plan.memory(PLAIN, SAMPLES)
    return Choice(name, trains, _parameters(model, layout, trains), size)


def _parameters(model: Model, layout: Layout, trains: bytes) -> int:
    """How many unpruned parameters train; tensors that layers share count once."""
    starts = set()
    for step, what in zip(model.steps, trains, strict=True):
        starts |= _starts(step, what)
    slots = [slot for slot in layout.slots if slot.start in starts]
    return sum(int(layout.mask[slot.start : slot.stop].sum()) for slot in slots)


def _starts(step: Step, what: int) -> set[int]:
    parts = ((WEIGHTS, step.weight), (BIASES, step.bias))
    return {start for bit, start in parts if what & bit and start >= 0}
