"""The node's C, compiled for this machine as one library."""

import ctypes
from pathlib import Path

import pytest

from core.train import Loss
from device_sim.lower import lower
from device_sim.twin.program import compile_graph
from firmware.host import HostCompiler
from firmware.node import NodeModel, node_model
from firmware.qemu import CORE, HERE, NoToolError
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of

NODE = HERE / "node"
CHECKED = ("-O1", "-g", "-fsanitize=undefined", "-fno-sanitize-recover=all")
FILE = Path(__file__).parents[1] / "fixtures/conv.tflite"


def tables_of(file: bytes) -> NodeModel:
    """A file as a node learns it: all of it."""
    graph = read_graph(file)
    layout = layout_of(graph)
    trainable = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    return node_model(file, trainable, bytes([3]) * len(trainable.steps))


@pytest.fixture(scope="session")
def node(tmp_path_factory) -> ctypes.CDLL:
    """Every function of firmware/node/src and of the core, with the tables of FILE.

    Undefined behaviour is an error.
    """
    out = tmp_path_factory.mktemp("node")
    flags = (*CHECKED, f"-I{NODE / 'include'}", f"-I{NODE / 'src'}")
    core = [p for f in ("codec", "train") for p in sorted((CORE / "src" / f).glob("*.c"))]
    sources = [*sorted((NODE / "src").glob("*.c")), *core, CORE / "src/paths/portable.c"]
    (out / "model.c").write_text(tables_of(FILE.read_bytes()).text)
    try:
        compiler = HostCompiler(flags=flags)
        compiler.run("-shared", *sources, out / "model.c", "-lm", "-o", out / "libnode.so")
    except NoToolError as error:
        pytest.skip(str(error))
    return ctypes.CDLL(str(out / "libnode.so"))
