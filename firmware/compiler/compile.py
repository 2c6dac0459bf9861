"""From a .tflite file to C99."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.compiler.channels import drop_channels
from firmware.compiler.names import identifier
from firmware.compiler.network import Network, read_network
from firmware.compiler.pack import Layout
from firmware.compiler.plan import Plan, Planner
from firmware.compiler.prepare import prepare
from firmware.compiler.updatable import UpdatableWriter
from firmware.compiler.write import Writer
from tflite_models.graph import read_graph


@dataclass(frozen=True, eq=False)
class Compiled:
    """A model as C: the text of each file by its name, and what it takes."""

    name: str
    files: dict[str, str]
    network: Network
    plan: Plan
    layout_bytes: dict[Layout, dict[str, int]]  # of each constant in weights.c, by layout
    updates: dict[str, bytes]  # of an updatable model: a slot for "dsp", and for other paths

    @property
    def array_bytes(self) -> dict[str, int]:
        """Bytes of each constant in weights.c, as plain C and Helium have it."""
        return self.layout_bytes["rows"]

    @property
    def ram_bytes(self) -> int:
        """Bytes of the arena and of what lasts from one input to the next."""
        return self.plan.size + sum(layer.state_bytes for layer in self.network.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights."""
        return sum(n for name, n in self.array_bytes.items() if name.endswith("_weights"))

    @property
    def constant_bytes(self) -> int:
        """Bytes of biases, multipliers and tables."""
        return sum(self.array_bytes.values()) - self.weight_bytes


def compile_model(
    file: bytes,
    name: str,
    version: int | None = None,
    *,
    single: bool = False,
    layout: Layout | None = None,
) -> Compiled:
    """Compile a .tflite file; `name` becomes the prefix of its functions.

    version: of the constants, which then lie in a slot that an update can replace; nothing
    is optimised that depends on their values.  single: round as LiteRT's reference kernels do
    (rounding.py) and not as TensorFlow Lite Micro; not with a version.
    layout: the one that is written; None: both, for the compiler's macros to choose.

    Raises UnsupportedModel for an operator that no kernel does, and ModelError for any other
    file that cannot be compiled.
    """
    prefix = identifier(name)
    stable = version is not None
    network = read_network(read_graph(file), single=single)
    if not stable:
        network = drop_channels(network)
    prepared = {layer.name: prepare(layer, stable=stable) for layer in network.layers}
    scratch = {name: p.scratch for name, p in prepared.items() if p is not None}
    plan = Planner(network, scratch).plan()
    about = f"{name}, compiled by microfed."
    updates: dict[str, bytes] = {}
    writer = Writer(prefix, network, prepared, plan, layout)
    if version is not None:
        writer = UpdatableWriter(prefix, network, prepared, plan, layout)
        writer.version = version
        updates = {"dsp": writer.update(dsp=True), "rows": writer.update(dsp=False)}
    sizes: dict[Layout, dict[str, int]] = {
        "rows": writer.array_bytes("rows"),
        "pairs": writer.array_bytes("pairs"),
    }
    return Compiled(prefix, writer.files(about), network, plan, sizes, updates)
