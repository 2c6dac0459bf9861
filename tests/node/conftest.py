"""The node's C, compiled for this machine, and a broker by hand for its MQTT client."""

import ctypes
from pathlib import Path

import pytest

from cli.config import Experiment
from cli.nodes import node_kit
from core.train import Loss
from device_sim.lower import lower
from device_sim.twin.program import compile_graph
from firmware.host import HostCompiler
from firmware.node import NodeModel, node_model
from firmware.nodes import INCLUDE, node_sources, posix_program
from firmware.qemu import NoToolError
from tests.node.mqtt import Script
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of

CHECKED = ("-O1", "-g", "-fsanitize=undefined", "-fno-sanitize-recover=all")
LONGEST = 700  # bytes of an update that `program` keeps
MODEL = Path(__file__).parents[1] / "device_sim/twin/digits.tflite"
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


def experiment(name="nodes", wire=None, **federated) -> Experiment:
    """Two devices with few digits, for four rounds."""
    settings = {"rounds": 4, "epochs": 2, "momentum": 0.5, "learning_rate": 0.05} | federated
    data = {"clients": 2, "factory": 0.9}
    return Experiment.model_validate(
        {"name": name, "data": data, "federated": settings, "wire": wire or {}}
    )


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    """The node of digits as a program of this machine, with blocks of 256 bytes."""
    largest = experiment(wire={"block": 256, "budget_bytes": LONGEST})
    kit = node_kit(MODEL.read_bytes(), largest, 1000)
    try:
        return posix_program(kit.model, kit.sizes, tmp_path_factory.mktemp("program"))
    except NoToolError as error:
        pytest.skip(str(error))


@pytest.fixture
def wire() -> Script:
    """Both ends of a connection that nobody has opened yet."""
    return Script()
