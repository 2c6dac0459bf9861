"""A node takes the places of its pieces of memory from its tables, for what may train alone."""

import ctypes

import numpy as np
import pytest

from core.stored import codes_of
from core.train import Loss, Stored, aligned
from device_sim.lower import lower
from device_sim.twin.program import compile_graph
from firmware.host import HostCompiler
from firmware.node import node_model
from firmware.nodes import INCLUDE, NODE
from firmware.qemu import CORE, NoToolError
from tests.node.conftest import FILE
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of

NONE = ctypes.c_size_t(-1).value


@pytest.fixture(scope="module")
def tables():
    """The tables of a node whose last step may train, and no other."""
    graph = read_graph(FILE.read_bytes())
    layout = layout_of(graph)
    model = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    last = bytes(len(model.steps) - 1) + b"\x03"
    made = node_model(FILE.read_bytes(), model, last)
    return made, last, codes_of(made.trainable, layout, weights_of(graph, layout))


@pytest.fixture(scope="module")
def library(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("places")
    (out / "model.c").write_text(tables[0].text)
    core = [*(CORE / "src/train").glob("*.c"), CORE / "src/paths/portable.c"]
    files = [*core, NODE / "src/trusted.c", out / "model.c"]
    try:
        HostCompiler(flags=INCLUDE).run("-shared", *files, "-lm", "-o", out / "places.so")
    except NoToolError as error:
        pytest.skip(str(error))
    return ctypes.CDLL(str(out / "places.so"))


def taken(library, tables, trains):
    """What the core finds for a plan, and what the tables say: places, and floats in all."""
    made, _, codes = tables
    model = ctypes.byref(made.trainable.struct)
    stored = (Stored * len(codes))(*(c.struct() if c else Stored() for c in codes))
    library.mf_plan_bytes.restype = library.mf_plan_places.restype = ctypes.c_size_t
    library.mf_take_places.restype = ctypes.c_size_t
    size = library.mf_plan_bytes(model)
    block = np.empty(size + 64, np.uint8)
    plan = ctypes.c_void_p(aligned(block))
    status = library.mf_plan_stored(model, trains, stored, 1, plan, ctypes.c_size_t(size))
    assert status == 0
    places = (ctypes.c_int32 * (3 * len(made.trainable.tensors)))()
    found = library.mf_plan_places(plan, places), list(places)
    said = library.mf_take_places(plan, ctypes.c_size_t(0))
    library.mf_plan_places(plan, places)
    return found, (said, list(places))


def test_the_tables_say_what_the_core_would_find(library, tables):
    found, said = taken(library, tables, tables[1])
    assert said == found


def test_a_plan_that_trains_more_than_the_tables_were_made_for_has_no_place(library, tables):
    _, said = taken(library, tables, bytes([3]) * len(tables[1]))
    assert said[0] == NONE
