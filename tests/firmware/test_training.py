"""A board trains from stored codes to the simulator's bits, in the memory that was said."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.node_training import (
    GOAL,
    HAR_RECIPE,
    RIVAL,
    dense_case,
    is_as_simulated,
    per_sample,
)
from core.stored import codes_of
from core.train import Loss, Recipe, Status, paths
from device_sim.lower import lower
from device_sim.memory import SAMPLES, choices
from device_sim.native import Native
from firmware.qemu import MACHINES, build
from firmware.train_test import SOURCES, Case, program, train_on_board
from tests.device_sim.twin.conftest import read_model
from tflite_models.parameters import weights_of
from wire.messages import Recipe as Wire

MODELS = Path(__file__).parents[2] / "tflite_models"
SEED = 11
MORE = 64  # bytes that the board's start-up keeps

pytestmark = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs arm-none-eabi-gcc and qemu-system-arm",
)


def samples(model, n):
    x, y = model.inputs(np.random.default_rng(SEED), n)
    return (4 * x - 2).astype(np.float32), y.astype(np.int32)


def case_of(model, choice, recipe, x, y):
    lowered = lower(model.graph, model.layout, model.twin.program, Loss.CROSS_ENTROPY)
    codes = codes_of(lowered, model.layout, weights_of(model.graph, model.layout))
    tile = choice.tile
    return Case(lowered, choice.trains, codes, recipe, x.reshape(len(x), -1), y, SEED, tile)


@pytest.mark.parametrize("machine", ["qemu-m4", "qemu-m7", "qemu-m55"])
@pytest.mark.parametrize("name", ["digits", "har"])
def test_a_board_trains_to_the_bits_of_every_path_of_the_simulator(name, machine, tmp_path):
    model = read_model(MODELS / name / "model.tflite")
    x, y = samples(model, 5 if name == "digits" else 3)
    turn = 20.0 if name == "har" else 0.0
    recipe = Recipe(2, 4, 0.02, 0.9, rotation=turn)
    everything = choices(model.graph, model.layout, recipe)[0]
    found = train_on_board(MACHINES[machine], case_of(model, everything, recipe, x, y), tmp_path)
    assert found.status == Status.OK
    kept = model.layout.mask.astype(bool)
    for path in paths():
        simulated = Native(model.graph, model.layout, path=path).train(
            model.weights, x, y, Wire(2, 4, 0.02, 0.9, rotation=turn), SEED
        )
        assert found.weights.tobytes() == simulated.weights[kept].tobytes()
        assert found.losses == (simulated.loss_before, simulated.loss_after)


def test_har_trains_whole_in_128_kb_and_in_what_the_planner_says(tmp_path):
    """With as many samples as the planner counts on; stack and start-up are beside that."""
    model = read_model(MODELS / "har" / "model.tflite")
    whole = choices(model.graph, model.layout)[0]
    x, y = (np.repeat(part, SAMPLES, axis=0) for part in samples(model, 1))
    case = case_of(model, whole, HAR_RECIPE, x, y)
    image = build_only(case, tmp_path)
    assert whole.bytes <= image.ram <= whole.bytes + MORE
    assert image.ram + 4096 < 128 * 1024


def build_only(case, folder):
    (folder / "train_test.c").write_text(program(case))
    return build(MACHINES["qemu-m4"], [folder / "train_test.c", *SOURCES], folder)


@pytest.mark.parametrize("widths", RIVAL)
def test_a_small_dense_network_trains_by_whole_batches_without_a_gradient(widths, tmp_path):
    case = dense_case(widths)
    found = train_on_board(MACHINES["qemu-m4"], case, tmp_path)
    instructions, ram = RIVAL[widths]
    assert is_as_simulated(case, found)
    assert per_sample(case, found) < instructions / GOAL
    assert found.ram < ram
