"""Models, memory and arguments that do not fit are refused before anything is computed."""

import math
import random
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_float

import numpy as np
import pytest

from core.train import (
    CoreError,
    Kind,
    Loss,
    Model,
    Path,
    Plan,
    Recipe,
    Shape,
    Status,
    Step,
    Tensor,
    Window,
    paths,
)

FREE = (-math.inf, math.inf, 0.0)
SMALL = Recipe(1, 2, 0.1)


def tensors():
    shapes = [(6, 5, 3), (6, 5, 4), (3, 3, 4), (3, 3, 8), (1, 1, 2)]
    return [Tensor(Shape(*shape), *FREE) for shape in shapes]


def steps():
    return [
        Step(Kind.CONV, (0, 0), 1, 0, 108, Window(3, 3, 1, 1, 1, 1, 1, 1)),
        Step(Kind.MAX_POOL, (1, 0), 2, -1, -1, Window(2, 2, 2, 2, 1, 1, 0, 0)),
        Step(Kind.DEPTHWISE, (2, 0), 3, 112, 184, Window(3, 3, 1, 1, 1, 1, 1, 1)),
        Step(Kind.DENSE, (3, 0), 4, 192, 336),
    ]


def model(change=lambda tensors, steps: None, parameters=338, ends=(0, 4), loss=0):
    ours = tensors(), steps()
    change(*ours)
    return Model(*ours, parameters, ends, loss)


def plan(made, path=Path.PORTABLE, tile=2):
    return Plan(made, bytes([3]) * len(made.steps), tile, path)


def train(made, path=Path.PORTABLE, samples=5, recipe=SMALL, labels=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, *(d.channels for d in [made.tensors[0].shape]), 30))
    size = made.struct.parameter_count
    y = np.arange(samples, dtype=np.int32) % 2 if labels is None else labels
    weights = rng.normal(size=size).astype(np.float32)
    x = np.ascontiguousarray(x, np.float32)
    return plan(made, path).train(recipe, x, y, 1, weights, np.ones(size, np.uint8))


def test_the_model_itself_is_sound():
    weights, before, after = train(model())
    assert np.isfinite(weights).all()
    assert after != before


def put(part, index, **values):
    def change(tensors, steps):
        target = (tensors if part == "tensor" else steps)[index]
        for name, value in values.items():
            *way, last = name.split("__")
            for each in way:
                target = getattr(target, each)
            setattr(target, last, value)

    return change


BAD = {
    "an input that nothing wrote": put("step", 0, inputs=(3, 0)),
    "an input that does not exist": put("step", 1, inputs=(5, 0)),
    "a negative input": put("step", 1, inputs=(-1, 0)),
    "an output that does not exist": put("step", 3, output=5),
    "an output written twice": put("step", 1, output=1),
    "a step that writes the input": put("step", 3, output=0),
    "a step that reads what it writes": put("step", 3, inputs=(4, 0)),
    "weights beyond the parameters": put("step", 3, weight=195),
    "weights before the parameters": put("step", 3, weight=-1),
    "a bias beyond the parameters": put("step", 0, bias=335),
    "an empty shape": put("tensor", 0, shape__height=0),
    "a negative shape": put("tensor", 2, shape__channels=-4),
    "a shape that overflows": put("tensor", 0, shape=Shape(2**24, 2**24, 2**24)),
    "a range upside down": put("tensor", 1, low=1.0, high=-1.0),
    "a range that is no number": put("tensor", 1, low=math.nan),
    "a grid that is too fine for its range": put("tensor", 1, low=-1e9, high=1e9, step=1.0),
    "a stride of 0": put("step", 0, window__stride_width=0),
    "a kernel of 0": put("step", 0, window__kernel_height=0),
    "a kernel that overflows": put("step", 0, window__kernel_height=2**31 - 1),
    "a negative padding": put("step", 0, window__pad_top=-1),
    "a pool that sees nothing": put("step", 1, window__stride_height=7),
    "channels that no filter serves": put("tensor", 3, shape__channels=7),
    "a pool that changes channels": put("tensor", 2, shape__channels=5),
    "rows that do not divide the input": put("tensor", 4, shape=Shape(1, 5, 2)),
    "an addition of other shapes": put("step", 1, kind=Kind.ADD, inputs=(1, 1)),
    "a copy of other size": put("step", 1, kind=Kind.COPY),
    "a place outside": put("step", 1, kind=Kind.PLACE, place=(0, 0, 1)),
}


@pytest.mark.parametrize("what", BAD)
def test_a_model_with(what):
    with pytest.raises(CoreError) as refused:
        plan(model(BAD[what]))
    assert refused.value.status == Status.BAD_MODEL


@pytest.mark.parametrize("path", paths())
def test_padding_that_would_take_more_memory_than_numbers_can_say_is_refused(path):
    """Few outputs far apart: a padded copy of the input would have 2^58 values."""
    shapes = [Shape(1, 1, 1024), Shape(4096, 4096, 1)]
    far = Step(Kind.CONV, (0, 0), 1, 0, -1, Window(1, 1, 4096, 4096, 1, 1, 0, 0))
    made = Model([Tensor(shape, *FREE) for shape in shapes], [far], 1024, (0, 1))
    with pytest.raises(CoreError) as refused:
        plan(made, path, tile=64)
    assert refused.value.status == Status.BAD_MODEL


def test_layers_whose_weights_overlap_have_a_gradient_of_more_floats_than_31_bits_count():
    """64 layers of 2^26 weights among 2^27 parameters: memory for the gradients of all is asked."""
    side = 2**13
    tensors = [Tensor(Shape(1, 1, side), *FREE) for _ in range(65)]
    steps = [Step(Kind.DENSE, (i, 0), i + 1, i, -1) for i in range(64)]
    made = Model(tensors, steps, 2 * side * side, (0, 64))
    kept = Recipe(1, 2, 0.1, momentum=0.9)  # without it no gradient is whole at any time
    assert plan(made).memory(kept, 1) >= 4 * 64 * side * side


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("place", range(3))
def test_a_logit_that_is_no_number_makes_the_loss_none(path, place):
    tensors = [Tensor(Shape(1, 1, n), *FREE) for n in (1, 3)]
    made = Model(tensors, [Step(Kind.DENSE, (0, 0), 1, 0, -1)], 3, (0, 1))
    weights = np.ones(3, np.float32)
    weights[place] = math.nan
    loss, _ = plan(made, path).gradient(np.ones((1, 1), np.float32), np.ones(1, np.int32), weights)
    assert math.isnan(loss)


@pytest.mark.parametrize(
    "change", [put("step", 0, kind=99), put("step", 0, window__dilation_height=2)]
)
def test_what_no_kernel_does_is_unsupported(change):
    with pytest.raises(CoreError) as refused:
        plan(model(change))
    assert refused.value.status == Status.UNSUPPORTED


@pytest.mark.parametrize(
    "made",
    [
        lambda: model(parameters=0),
        lambda: model(parameters=337),
        lambda: model(ends=(5, 4)),
        lambda: model(ends=(0, -1)),
        lambda: model(loss=Loss.SQUARED_ERROR),
    ],
)
def test_ends_and_counts_are_checked(made):
    with pytest.raises(CoreError) as refused:
        plan(made())
    assert refused.value.status == Status.BAD_MODEL


def test_whatever_numbers_a_model_holds_it_trains_or_is_refused():
    """2,000 models with one to three fields changed at random; the sanitizers watch too."""
    dice = random.Random(7)
    values = [-(2**31), -2, -1, 0, 1, 2, 3, 4, 5, 7, 30, 107, 2**16, 2**24, 2**31 - 1]
    outcomes = set()

    def change(tensors, steps):
        for _ in range(dice.randint(1, 3)):
            if dice.random() < 0.5:
                shape = dice.choice(tensors).shape
                setattr(shape, dice.choice(("height", "width", "channels")), dice.choice(values))
            else:
                step = dice.choice(steps)
                name = dice.choice(("kind", "output", "weight", "bias", "input", "window", "place"))
                if name == "input":
                    step.inputs[dice.randint(0, 1)] = dice.choice(values)
                elif name == "place":
                    step.place[dice.randint(0, 2)] = dice.choice(values)
                elif name == "window":
                    setattr(step.window, dice.choice(Window._fields_)[0], dice.choice(values))
                else:
                    setattr(step, name, dice.choice(values))

    for _ in range(2000):
        made = model(change)
        try:
            planned = plan(made, dice.choice(paths()))
        except CoreError as error:
            outcomes.add(error.status)
            continue
        values_in = made.values(0)
        if values_in > 10_000 or planned.memory(SMALL, 3) > 2**24:
            continue
        x = np.ones((3, values_in), np.float32)
        weights = np.full(338, 0.1, np.float32)
        y = np.zeros(3, np.int32)
        planned.train(SMALL, x, y, 1, weights, np.ones(338, np.uint8))
        outcomes.add(Status.OK)
    assert {Status.OK, Status.BAD_MODEL, Status.UNSUPPORTED} <= outcomes


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_a_label_outside_the_classes_is_refused(labels):
    with pytest.raises(CoreError) as refused:
        train(model(), samples=2, labels=np.array(labels, np.int32))
    assert refused.value.status == Status.BAD_ARGUMENT


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(0, 2, 0.1),
        Recipe(1, 0, 0.1),
        Recipe(1, 2, math.nan),
        Recipe(1, 2, 0.1, clip_norm=-1),
        Recipe(1, 2, 0.1, weight_decay=math.inf),
    ],
)
def test_a_recipe_outside_its_ranges_is_refused(recipe):
    with pytest.raises(CoreError) as refused:
        train(model(), recipe=recipe)
    assert refused.value.status == Status.BAD_ARGUMENT


def test_a_path_that_is_not_there_is_unsupported():
    absent = next(path for path in Path if path not in paths())
    with pytest.raises(CoreError) as refused:
        plan(model(), absent)
    assert refused.value.status == Status.UNSUPPORTED


@pytest.mark.parametrize(
    ("less", "shift", "status"), [(1, 0, Status.NO_MEMORY), (0, 4, Status.MISALIGNED)]
)
def test_too_little_memory_or_crooked_memory_is_refused(less, shift, status):
    planned = plan(model())
    size = planned.memory(SMALL, 5)
    block = np.zeros(size + 128, np.uint8)
    start = -(-block.ctypes.data // 64) * 64 + shift
    x, y = np.zeros((5, 90), np.float32), np.zeros(5, np.int32)
    weights, mask = np.zeros(338, np.float32), np.ones(338, np.uint8)
    from core.train import Samples

    samples = Samples(x.ctypes.data, y.ctypes.data, 5)
    losses = (c_float * 2)()
    found = planned._core.mf_train(
        *(planned._at, byref(SMALL), byref(samples), 1, weights.ctypes.data),
        *(mask.ctypes.data, weights.ctypes.data, losses, start, size - less),
    )
    assert found == status
    assert not block.any()


def test_the_working_memory_ends_where_it_was_said_to_end():
    """Bytes behind the memory that was asked for keep their value."""
    for path in paths():
        planned = plan(model(), path)
        size = planned.memory(SMALL, 5)
        from core import train as core

        core.MEMORY.block = np.full(size + 64 + 4096, 0xA5, np.uint8)
        start = core.aligned(core.MEMORY.block) - core.MEMORY.block.ctypes.data
        x, y = np.ones((5, 90), np.float32), np.zeros(5, np.int32)
        planned.train(SMALL, x, y, 1, np.ones(338, np.float32), np.ones(338, np.uint8))
        assert (core.MEMORY.block[start + size :] == 0xA5).all()


def test_threads_share_a_plan_and_get_the_same_bits():
    planned = plan(model(), paths()[-1])
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 90)).astype(np.float32), rng.integers(0, 2, 200, np.int32)
    weights = 0.1 * rng.normal(size=338).astype(np.float32)
    mask = np.ones(338, np.uint8)
    recipe = Recipe(20, 4, 0.01, momentum=0.5)

    def run(seed):
        return planned.train(recipe, x, y, seed, weights, mask)[0].tobytes()

    alone = [run(seed) for seed in (1, 2, 3, 4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, (1, 2, 3, 4))) == alone
    assert len(set(alone)) == 4


def test_enumerations_are_those_of_the_header():
    from pathlib import Path as File

    header = File(__file__).parents[2] / "firmware" / "core" / "include" / "microfed"
    text = (header / "train.h").read_text() + (header / "status.h").read_text()
    for kind in (Kind, Loss, Path, Status):
        for member in kind:
            assert f"MF_{member.name} = {member.value}," in text
