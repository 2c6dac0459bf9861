"""Arena plans: nothing that is needed lies under anything else, and no byte is wasted."""

import os
from pathlib import Path

import numpy as np
import pytest

from firmware.compiler.compile import compile_model
from firmware.compiler.network import read_network
from firmware.compiler.overlap import overlap_of
from firmware.compiler.plan import Planner
from firmware.compiler.prepare import prepare
from tests.conftest import ROOT
from tflite_models.graph import read_graph

PUBLIC = Path(os.environ.get("MICROFED_MODELS", ROOT.parent / "shared" / "models"))
LIMITS = {
    "kws_ref_model": 16_000,
    "vww_96_int8": 55_296,
    "pretrainedResnet_quant": 49_152,
    "ad01_int8": 768,
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_public_model_needs_no_more_than_a_perfect_planner_without_overlap(name):
    path = PUBLIC / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    compiled = compile_model(path.read_bytes(), name)
    assert compiled.plan.size <= LIMITS[name]


def test_blocks_that_live_together_lie_apart_but_for_allowed_overlaps():
    network = read_network(read_graph((ROOT / "tflite_models/fashion/model.tflite").read_bytes()))
    prepared = {layer.name: prepare(layer) for layer in network.layers}
    scratch = {name: p.scratch for name, p in prepared.items() if p is not None}
    planner = Planner(network, scratch)
    offsets = planner.plan().offsets
    allowed = {(i, layer.output) for layer in network.layers for i in layer.reads}
    for a in planner.blocks:
        for b in planner.blocks:
            together = a.name != b.name and a.first <= b.last and b.first <= a.last
            if together and (a.name, b.name) not in allowed and (b.name, a.name) not in allowed:
                low, high = sorted((a, b), key=lambda x: offsets[x.name])
                assert offsets[low.name] + low.size <= offsets[high.name]


def test_a_convolution_may_not_overwrite_what_a_later_window_reads():
    network = read_network(read_graph((ROOT / "tflite_models/fashion/model.tflite").read_bytes()))
    layer = network.layers[2]
    p = layer.call.parameters
    gap = overlap_of(layer, layer.reads[0], fast=True).gap
    for n in range(p.output.height * p.output.width - 1):
        y, x = divmod(n + 1, p.output.width)
        row = max(0, y - p.window.pad_top) * p.input.width
        first = (row + max(0, x - p.window.pad_left)) * p.input.channels
        last_in_row = row * p.input.channels if x + 1 < p.output.width else first
        assert (n + 1) * p.output.channels <= gap + max(first, last_in_row)


def test_compiling_twice_gives_the_same_text():
    file = (ROOT / "tflite_models/har/model.tflite").read_bytes()
    assert compile_model(file, "har").files == compile_model(file, "har").files


def test_a_plan_is_as_small_as_its_busiest_layer():
    for name in ("digits", "fashion", "har", "speech"):
        file = (ROOT / "tflite_models" / name / "model.tflite").read_bytes()
        plan = compile_model(file, name).plan
        assert plan.size - plan.bound < 4 * np.log2(plan.size)
