"""What cannot be run says where and why; a damaged plan is refused before anything runs."""

import ctypes
from pathlib import Path as File

import numpy as np
import pytest

from core.int8 import Int8Model, aligned, make_plan, paths
from core.int8_lower import lower
from core.int8_structs import DERIVED, KINDS, Plan
from core.library import library
from tests.core.oracle_models import Step, activation, constant, make_file
from tflite_models.errors import ModelError, UnsupportedModel
from tflite_models.graph import read_graph

FIXTURES = File(__file__).parents[1] / "fixtures"
OK, BAD_MODEL, UNSUPPORTED, MISALIGNED = 0, 1, 2, 4


def refusal(file):
    with pytest.raises(UnsupportedModel) as caught:
        lower(read_graph(file))
    return str(caught.value)


def int32(*values):
    return constant(np.array(values, np.int32), scale=None)


def test_an_operator_without_a_kernel_is_named_with_its_tensors():
    file = make_file([activation((1, 4)), activation((1, 4))], [Step("COS", [0], 1)])
    assert refusal(file).startswith(
        "operator 0 COS ('tensor 0', 'tensor 1'): allowed are ADD, AVERAGE_POOL_2D, CONCATENATION"
    )


def test_an_operator_that_keeps_a_state_is_named_with_it():
    tensors = [activation((1, 4)), activation((1, 8), variable=True), activation((1, 4))]
    file = make_file(tensors, [Step("UNIDIRECTIONAL_SEQUENCE_LSTM", [0, 1], 2)])
    with pytest.raises(UnsupportedModel, match=r"operator 0 UNI.*: tensor 1 is a state"):
        read_graph(file)


def test_sixteen_bit_activations_are_named_as_such():
    tensors = [
        activation((1, 4), dtype="int16"),
        constant(np.ones((3, 4), np.int8)),
        activation((1, 3), dtype="int16"),
    ]
    file = make_file(tensors, [Step("FULLY_CONNECTED", [0, 1, -1], 2)])
    assert "tensor 0 ('tensor 0') is int16: int8 is allowed" in refusal(file)


def test_a_mean_over_axes_with_another_between_them_is_refused():
    tensors = [activation((1, 5, 6, 7)), int32(1, 3), activation((1, 6))]
    assert "over axes [1, 3]" in refusal(make_file(tensors, [Step("MEAN", [0, 1], 2)]))


def test_weights_with_a_zero_point_are_refused():
    tensors = [
        activation((1, 4)),
        constant(np.ones((3, 4), np.int8), zero=1),
        activation((1, 3)),
    ]
    file = make_file(tensors, [Step("FULLY_CONNECTED", [0, 1, -1], 2)])
    assert "zero points of 0" in refusal(file)


def test_weights_that_are_computed_are_refused():
    tensors = [activation((1, 4)), activation((1, 4)), activation((1, 1))]
    steps = [Step("RELU", [0], 1), Step("FULLY_CONNECTED", [0, 1, -1], 2)]
    assert "input 1 must be a constant of int8" in refusal(make_file(tensors, steps))


def test_an_output_of_the_wrong_size_is_refused():
    tensors = [activation((1, 9, 9, 2)), activation((1, 4, 5, 2))]
    options = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": 1}
    file = make_file(tensors, [Step("MAX_POOL_2D", [0], 1, options)])
    assert "an output length of 5 where 4 is right" in refusal(file)


def test_a_softmax_to_another_scale_is_refused():
    tensors = [activation((1, 4)), activation((1, 4), scale=1 / 128, zero=-128)]
    file = make_file(tensors, [Step("SOFTMAX", [0], 1, {"beta": 1.0})])
    assert "a scale of 1/256" in refusal(file)


@pytest.fixture(params=["conv", "depthwise", "dense"])
def plan(request):
    """A sound plan of each fixture, and its memories, which must stay alive."""
    file = (FIXTURES / f"{request.param}.tflite").read_bytes()
    graph = read_graph(file)
    return make_plan(graph, lower(graph), file)


def check(plan):
    return library().mf_int8_check(ctypes.byref(plan))


def test_a_sound_plan_is_accepted(plan):
    assert check(plan[0]) == OK


@pytest.mark.parametrize("field", ["model_size", "derived_size", "arena_size"])
def test_a_memory_that_is_too_small_is_refused(plan, field):
    setattr(plan[0], field, 8)
    assert check(plan[0]) == BAD_MODEL


@pytest.mark.parametrize("field", ["input", "output"])
def test_samples_outside_the_arena_are_refused(plan, field):
    setattr(plan[0], field, plan[0].arena_size)
    assert check(plan[0]) == BAD_MODEL


def test_an_unknown_kind_or_path_is_refused(plan):
    plan[0].path = 3
    assert check(plan[0]) == UNSUPPORTED
    plan[0].path = 0
    plan[0].steps[1].kind = len(KINDS)
    assert check(plan[0]) == UNSUPPORTED


def test_a_bias_off_its_alignment_is_refused(plan):
    filtered = next(s for s in plan[0].steps[: plan[0].step_count] if s.bias.memory)
    filtered.bias.offset += 1
    assert check(plan[0]) == MISALIGNED


def test_an_output_in_the_model_is_refused(plan):
    plan[0].steps[0].output.memory = 2
    assert check(plan[0]) == BAD_MODEL


def test_memory_off_its_alignment_is_refused(plan):
    arena = aligned(plan[0].arena_size + 1)
    run = library().mf_int8_run
    nothing = ctypes.c_void_p()
    misplaced = ctypes.c_void_p(arena.ctypes.data + 1)
    assert run(ctypes.byref(plan[0]), nothing, nothing, 0, misplaced) == MISALIGNED


@pytest.mark.parametrize("wrong", [-(2**31), -1, 0, 2**15, 2**31 - 1])
def test_a_plan_with_any_number_wrong_is_refused_or_stays_inside_its_memories(plan, wrong):
    """With the sanitizers' build of the core this finds what the check forgets."""
    plan, kept = plan
    fields = dict(KINDS.values())
    refused = 0
    for step in plan.steps[: plan.step_count]:
        parameters = getattr(step.parameters, fields[step.kind])
        numbers = (ctypes.c_int32 * (ctypes.sizeof(parameters) // 4)).from_buffer(parameters)
        for i, right in enumerate(numbers):
            numbers[i] = wrong
            refused += run_if_accepted(plan)
            numbers[i] = right
    assert refused > 0
    assert run_if_accepted(plan) == 0
    assert kept


def run_if_accepted(plan: Plan) -> int:
    """1 if the plan was refused; else run it."""
    if check(plan):
        return 1
    run(plan)
    return 0


def run(plan: Plan) -> bytes:
    """The output for an input of ones."""
    x, y = np.ones(plan.input_size, np.uint8), np.zeros(plan.output_size, np.uint8)
    arena = aligned(plan.arena_size + plan.scratch_size)
    call = library().mf_int8_run
    call.argtypes = (*(ctypes.c_void_p,) * 3, ctypes.c_uint32, ctypes.c_void_p)
    call(ctypes.byref(plan), x.ctypes.data, y.ctypes.data, 1, arena.ctypes.data)
    return y.tobytes()


@pytest.mark.parametrize("name", ["conv", "depthwise", "dense"])
def test_a_damaged_file_is_refused_or_runs(name):
    """With the sanitizers' build of the core this finds what lowering and the check forget."""
    file = (FIXTURES / f"{name}.tflite").read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(400):
        damaged = bytearray(file)
        for at in rng.integers(0, len(file), 2):
            damaged[at] = rng.choice([0, 1, 127, 128, 255])
        try:
            model = Int8Model(bytes(damaged))
        except ModelError:
            refused += 1
        else:
            x = np.zeros((1, *model.input.shape[1:]), model.input.dtype)
            assert model.run(x).shape[1:] == model.output.shape[1:]
    assert 0 < refused < 400


@pytest.mark.parametrize("dilation", [4096, 8192, 16384])
def test_a_small_file_cannot_ask_for_an_image_of_gigabytes(dilation):
    """A window that reaches far beyond its input: every path runs it in next to no memory."""
    tensors = [
        activation((1, 4, 4, 8)),
        constant(np.ones((8, 3, 3, 8), np.int8)),
        activation((1, 4, 4, 8)),
    ]
    options = {"padding": 0, "strideW": 1, "strideH": 1}
    far = {"dilationWFactor": dilation, "dilationHFactor": dilation}
    file = make_file(tensors, [Step("CONV_2D", [0, 1, -1], 2, options | far)])
    for path in paths():
        model = Int8Model(file, path)
        assert model._plan.scratch_size < 10_000
        # of each window only the middle lies on the input
        assert (model.run(np.ones((1, 4, 4, 8), np.int8)) == 8).all()


def test_a_window_that_32_bits_cannot_measure_is_refused():
    tensors = [
        activation((1, 1, 4, 1)),
        constant(np.ones((1, 1, 2**15 + 1, 1), np.int8)),
        activation((1, 1, 4, 1)),
    ]
    options = {"padding": 0, "strideW": 1, "strideH": 1, "dilationWFactor": 2**16}
    with pytest.raises(ModelError, match=r"spans 2147483649 values: below 2\^31 is allowed"):
        Int8Model(make_file(tensors, [Step("CONV_2D", [0, 1, -1], 2, options)]))


@pytest.mark.parametrize("path", paths())
def test_weights_behind_the_model_run_as_those_in_it(plan, path):
    """The check allows weights in any memory; packing knows those in the model alone."""
    plan, kept = plan
    before = run(plan)
    step = next(s for s in plan.steps[: plan.step_count] if s.weights.memory)
    moved = aligned(plan.derived_size + plan.model_size - step.weights.offset)
    ctypes.memmove(moved.ctypes.data, plan.derived, plan.derived_size)
    ctypes.memmove(
        moved.ctypes.data + plan.derived_size,
        plan.model + step.weights.offset,
        moved.size - plan.derived_size,
    )
    step.weights.memory, step.weights.offset = DERIVED, plan.derived_size
    plan.derived, plan.derived_size, plan.path = moved.ctypes.data, moved.size, path
    assert check(plan) == OK
    packed = aligned(library().mf_int8_packed_size(ctypes.byref(plan)))
    if packed.size:
        assert library().mf_int8_pack(ctypes.byref(plan), ctypes.c_void_p(packed.ctypes.data)) == OK
    assert run(plan) == before
    assert kept
