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
    array_bytes: dict[str, int]  # of each constant in weights.c, as plain C and Helium have it

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights."""
        return sum(n for name, n in self.array_bytes.items() if name.endswith("_weights"))

    @property
    def constant_bytes(self) -> int:
        """Bytes of biases, multipliers and tables."""
        return sum(self.array_bytes.values()) - self.weight_bytes


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
    return Compiled(prefix, writer.files(about), network, plan, writer.array_bytes())
