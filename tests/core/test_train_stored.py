"""Training from stored codes gives the bits of training with all parameters in memory."""

from pathlib import Path as File

import numpy as np
import pytest

from core.stored import Codes, StoredPlan, codes_of
from core.train import (
    CoreError,
    Kind,
    Loss,
    Model,
    Plan,
    Recipe,
    Shape,
    Status,
    Step,
    Tensor,
    paths,
)
from device_sim.lower import lower
from device_sim.memory import choices
from tests.device_sim.twin.conftest import read_model
from tflite_models.parameters import weights_of

ROOT = File(__file__).parents[2]
FILES = {
    "har": ROOT / "tflite_models" / "har" / "model.tflite",
    "speech": ROOT / "tflite_models" / "speech" / "model.tflite",
    "branches": ROOT / "tests" / "device_sim" / "twin" / "digits.tflite",
}
RECIPES = {
    "plain": Recipe(2, 4, 0.05),
    "everything": Recipe(
        *(2, 4, 0.02, 0.9), weight_decay=0.01, proximal=0.1, clip_norm=0.5, fake_quantize=1
    ),
    "pulled back": Recipe(2, 4, 0.02, weight_decay=0.01, proximal=0.1),
    "momentum": Recipe(2, 5, 0.02, 0.9, weight_decay=0.01, proximal=0.1),
}


@pytest.fixture(scope="module", params=FILES)
def case(request):
    model = read_model(FILES[request.param])
    lowered = lower(model.graph, model.layout, model.twin.program, Loss.CROSS_ENTROPY)
    codes = codes_of(lowered, model.layout, weights_of(model.graph, model.layout))
    x, y = model.inputs(np.random.default_rng(3), 9)
    return model, lowered, codes, (4 * x - 2).astype(np.float32), y.astype(np.int32)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("tile", [1, 5])
def test_whatever_trains_ends_with_the_same_bits(case, recipe, tile):
    model, lowered, codes, x, y = case
    settings = RECIPES[recipe]
    mask = model.layout.mask.astype(np.uint8)
    for choice in choices(model.graph, model.layout):
        wanted, *losses = Plan(lowered, choice.trains, 4).train(
            settings, x, y, 5, model.weights, mask
        )
        plan = StoredPlan(lowered, choice.trains, codes, tile)
        weights, *found = plan.train(settings, x, y, 5)
        assert plan.parameters == choice.parameters
        trained = trained_of(lowered, choice.trains, model.layout)
        np.testing.assert_array_equal(weights.view("u4"), wanted[trained].view("u4"))
        assert found == losses
        update = (wanted - model.weights)[trained]
        np.testing.assert_array_equal(plan.update(weights).view("u4"), update.view("u4"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_that_are_updated_at_once_end_as_those_that_wait_for_their_batch(case, recipe):
    model, lowered, _, x, y = case
    trains, mask = bytes([3]) * len(lowered.steps), model.layout.mask.astype(np.uint8)
    found = {
        Plan(lowered, trains, tile, path)
        .train(RECIPES[recipe], x, y, 5, model.weights, mask)[0]
        .tobytes()
        for path in paths()
        for tile in (1, 3, 5)
    }
    assert len(found) == 1


def test_less_memory_is_asked_for_where_no_gradient_is_kept(case):
    _, lowered, codes, _, _ = case
    trains = bytes([3]) * len(lowered.steps)
    plan = StoredPlan(lowered, trains, codes, 4)
    at_once = plan.memory(Recipe(1, 4, 0.1), 9)
    waiting = plan.memory(Recipe(1, 5, 0.1), 9)
    assert waiting - at_once > plan.parameters * 2
    assert plan.memory(Recipe(1, 4, 0.1, 0.9), 9) == waiting
    assert plan.memory(Recipe(1, 4, 0.1, clip_norm=1.0), 9) > waiting + plan.parameters * 2
    assert plan.memory(Recipe(1, 5, 0.1), 4) <= at_once


def test_a_network_whose_layers_share_weights_is_refused():
    """One of them could train while the other is stored."""
    infinite = float("inf")
    tensors = [Tensor(Shape(1, 1, 4), -infinite, infinite, 0.0) for _ in range(3)]
    steps = [Step(Kind.DENSE, (i, 0), i + 1, 0, -1) for i in range(2)]
    codes = [Codes(np.ones(16, np.int8), None, np.ones(1, np.float32), None, 0.0)] * 2
    with pytest.raises(CoreError) as refused:
        StoredPlan(Model(tensors, steps, 16, (0, 2)), bytes([3, 3]), codes)
    assert refused.value.status == Status.UNSUPPORTED


def trained_of(model, trains, layout):
    """The unpruned parameters that train, as indices."""
    slots = {slot.start: slot for slot in layout.slots}
    found = []
    for step, what in zip(model.steps, trains, strict=True):
        for bit, start in ((1, step.weight), (2, step.bias)):
            if what & bit and start in slots:
                slot = slots[start]
                found.append(slot.start + np.flatnonzero(layout.mask[slot.start : slot.stop]))
    return np.concatenate(found)
