"""The node's C, compiled for this machine as one library."""

import ctypes
from pathlib import Path

import pytest

from core.train import Loss
from device_sim.lower import lower
from device_sim.twin.program import compile_graph
from firmware.host import HostCompiler
from firmware.node import NodeModel, node_model
from firmware.nodes import INCLUDE, node_sources
from firmware.qemu import NoToolError
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of

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
    flags = (*CHECKED, *INCLUDE)
    made = tables_of(FILE.read_bytes())
    (out / "model.c").write_text(made.text)
    (out / "infer.c").write_text(made.inference)
    files = [*node_sources(), out / "model.c", out / "infer.c"]
    try:
        HostCompiler(flags=flags).run("-shared", *files, "-lm", "-o", out / "libnode.so")
    except NoToolError as error:
        pytest.skip(str(error))
    return ctypes.CDLL(str(out / "libnode.so"))
