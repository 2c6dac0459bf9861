"""Partial training: what is chosen trains as ever, what is not stays, and costs no memory."""

from pathlib import Path as File

import numpy as np
import pytest

from core.train import Kind, Loss, Model, Path, Plan, Recipe, Shape, Step, Tensor, paths
from device_sim.lower import lower
from device_sim.memory import choices, largest_that_fits
from tests.device_sim.twin.conftest import read_model
from tflite_models.boards import BOARDS, RUNTIME_RAM, STACK

ROOT = File(__file__).parents[2]
FILES = {
    "har": ROOT / "tflite_models" / "har" / "model.tflite",
    "fashion": ROOT / "tflite_models" / "fashion" / "model.tflite",
    "branches": ROOT / "tests" / "device_sim" / "twin" / "digits.tflite",
}


@pytest.fixture(params=FILES)
def model(request):
    return read_model(FILES[request.param])


def data(model, rng, samples):
    x, y = model.inputs(rng, samples)
    return (4 * x - 2).astype(np.float32), y


def test_the_gradient_of_a_choice_is_that_of_all_where_it_trains_and_else_zero(model, rng):
    x, y = data(model, rng, 9)
    lowered = lower(model.graph, model.layout, model.twin.program, Loss.CROSS_ENTROPY)
    labels = y.astype(np.int32)

    def gradient(choice, path):
        return Plan(lowered, choice.trains, 4, path).gradient(x, labels, model.weights)[1]

    among = choices(model.graph, model.layout)
    whole = gradient(among[0], Path.PORTABLE)
    for choice in among:
        for path in paths():
            found = gradient(choice, path)
            trained = found != 0
            np.testing.assert_array_equal(found[trained], whole[trained])
            assert (trained & model.layout.mask).sum() <= choice.parameters
            assert (trained & model.layout.mask).sum() >= 0.3 * choice.parameters


def test_only_the_chosen_parameters_change(model, rng):
    x, y = data(model, rng, 20)
    lowered = lower(model.graph, model.layout, model.twin.program, Loss.CROSS_ENTROPY)
    mask = model.layout.mask.astype(np.uint8)
    for choice in choices(model.graph, model.layout):
        plan = Plan(lowered, choice.trains, 4)
        recipe = Recipe(2, 8, 0.05, momentum=0.5, clip_norm=1.0)
        labels = y.astype(np.int32)
        done, before, after = plan.train(recipe, x, labels, 1, model.weights, mask)
        changed = done != model.weights
        assert 0.3 * choice.parameters <= changed.sum() <= choice.parameters
        assert after != before


def test_weights_that_one_layer_trains_are_those_of_before_on_the_way_back_through_another(rng):
    """The portable path updates a layer as soon as it has its gradient."""
    tensors = [Tensor(Shape(1, 1, 4), -np.inf, np.inf, 0.0) for _ in range(4)]
    at = ((0, -1), (16, 32), (16, -1))  # weights and biases; the last two layers share theirs
    steps = [Step(Kind.DENSE, (i, 0), i + 1, *places) for i, places in enumerate(at)]
    shared = Model(tensors, steps, 36, (0, 3))
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 4, 8).astype(np.int32)
    weights, mask = rng.normal(size=36).astype(np.float32), np.ones(36, np.uint8)
    trained = {
        Plan(shared, b"\1\0\1", 8, path)
        .train(Recipe(1, 8, 0.5), x, y, 1, weights, mask)[0]
        .tobytes()
        for path in paths()
    }
    gradient = Plan(shared, b"\1\0\1", 8).gradient(x, y, weights)[1]
    assert len(trained) == 1
    np.testing.assert_allclose(
        np.frombuffer(trained.pop(), np.float32), weights - gradient / 2, 1e-5
    )


def test_fewer_layers_take_less_memory(model):
    among = {choice.name: choice for choice in choices(model.graph, model.layout)}
    layers = [choice.bytes for name, choice in among.items() if name != "biases"]
    assert layers == sorted(layers, reverse=True)
    assert len(set(layers)) == len(layers)
    assert among["biases"].bytes < among["all"].bytes


def test_a_board_trains_the_most_that_its_ram_holds(model):
    among = choices(model.graph, model.layout)
    assert largest_that_fits(among, BOARDS["mps2-an386"]) == among[0]
    for board in BOARDS.values():
        room = board.ram - RUNTIME_RAM - STACK
        chosen = largest_that_fits(among, board)
        fitting = [choice for choice in among if choice.bytes <= room]
        assert chosen == (max(fitting, key=lambda c: c.parameters) if fitting else None)
