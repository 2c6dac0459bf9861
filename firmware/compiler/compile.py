"""From a .tflite file to C99."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.compiler.channels import drop_channels
from firmware.compiler.names import identifier
from firmware.compiler.network import Network, read_network
from firmware.compiler.plan import Plan, Planner
from firmware.compiler.prepare import prepare
from firmware.compiler.write import Writer
from tflite_models.graph import read_graph


@dataclass(frozen=True, eq=False)
class Compiled:
    """A model as C: the text of each file by its name, and what it takes."""

    name: str
    files: dict[str, str]
    network: Network
    plan: Plan
    weight_bytes: int  # as the model has them
    constant_bytes: int  # biases, multipliers, tables


def compile_model(file: bytes, name: str) -> Compiled:
    """Compile a .tflite file; `name` becomes the prefix of its functions.

    Raises UnsupportedModel for an operator that no kernel does, and ModelError for any other
    file that cannot be compiled.
    """
    prefix = identifier(name)
    network = drop_channels(read_network(read_graph(file)))
    prepared = {layer.name: prepare(layer) for layer in network.layers}
    scratch = {name: p.scratch for name, p in prepared.items() if p is not None}
    plan = Planner(network, scratch).plan()
    writer = Writer(prefix, network, prepared, plan)
    about = f"{name}, compiled by microfed."
    return Compiled(prefix, writer.files(about), network, plan, *writer.constant_bytes(dsp=False))
