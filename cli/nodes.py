"""An experiment's model and data as its nodes need them."""

from __future__ import annotations

from dataclasses import dataclass

from cli.config import Experiment
from cli.shares import Shares
from core.train import Loss, Recipe
from device_sim.lower import lower, step_bytes
from device_sim.twin.program import compile_graph
from firmware.node import NodeModel, NodeSizes, node_model, node_sizes, samples_file
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of
from tflite_models.scope import bits_of


@dataclass(frozen=True)
class NodeKit:
    """What all nodes of an experiment are compiled with."""

    model: NodeModel
    sizes: NodeSizes


def node_kit(file: bytes, experiment: Experiment, samples: int) -> NodeKit:
    """The tables and the memory of nodes with at most so many samples.  Raises ModelError."""
    graph = read_graph(file)
    layout = layout_of(graph)
    trainable = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    trains = step_bytes(trainable, layout, bits_of(layout, experiment.federated.train))
    model = node_model(file, trainable, trains)
    settings, wire = experiment.federated, experiment.wire
    recipe = Recipe(
        epochs=settings.epochs,
        batch=settings.batch,
        momentum=settings.momentum,
        proximal=settings.proximal,
        rotation=settings.rotation,
    )
    sizes = node_sizes(model, recipe, samples, block=wire.block, budget=wire.budget_bytes)
    return NodeKit(model, sizes)


def samples_of(shares: Shares, index: int) -> bytes:
    """The data of device `index`, as its node reads it."""
    own = shares.split.clients[index]
    return samples_file(shares.dataset.x[own], shares.dataset.y[own])


def kit_for(experiment: Experiment, shares: Shares, which: range, file: bytes) -> NodeKit:
    """The kit of some devices, with room for the one that has most samples."""
    return node_kit(file, experiment, max(len(shares.split.clients[i]) for i in which))
