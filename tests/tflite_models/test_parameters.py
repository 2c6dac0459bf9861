"""The laws of the parameter vector: patching, rounding, scales that grow."""

import numpy as np
import pytest

from tflite_models.errors import ModelError, UnsupportedModel
from tflite_models.graph import read_graph
from tflite_models.parameters import (
    Weights,
    layout_of,
    patch,
    requantize,
    slot_scales,
    to_float,
    weights_of,
)


def parts(file):
    graph = read_graph(file)
    layout = layout_of(graph)
    return graph, layout, weights_of(graph, layout)


def run_stock(file, x):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_slots_are_weight_then_bias_in_operator_order(fixture_file):
    _, layout, _ = parts(fixture_file("dense"))
    assert [(s.kind, s.start, s.stop, s.shape, s.weight) for s in layout.slots] == [
        ("weight", 0, 60, (10, 6), -1),
        ("bias", 60, 70, (10,), 0),
        ("weight", 70, 100, (3, 10), -1),
        ("bias", 100, 103, (3,), 2),
    ]
    assert [(s.scale_start, s.scale_stop) for s in layout.slots] == [(0, 1), (0, 1), (1, 2), (1, 2)]
    assert (layout.size, layout.scales) == (103, 2)


def test_scales_run_along_the_channels_of_each_operator(fixture_file):
    _, layout, _ = parts(fixture_file("depthwise"))
    kinds = [(s.shape, s.axis, s.scale_stop - s.scale_start) for s in layout.slots[::2]]
    assert kinds == [
        ((4, 3, 3, 2), 0, 4),
        ((1, 3, 3, 4), 3, 4),
        ((4, 1, 1, 4), 0, 4),
        ((4, 4), 0, 4),
    ]


def test_the_mask_is_false_exactly_at_zero_weights(fixture_file):
    _, layout, weights = parts(fixture_file("dense"))
    is_bias = np.zeros(layout.size, bool)
    for slot in layout.slots:
        is_bias[slot.start : slot.stop] = slot.kind == "bias"
    assert np.array_equal(layout.mask, (weights.codes != 0) | is_bias)
    assert 30 <= (~layout.mask).sum() <= 50


def test_patching_a_file_with_its_own_weights_changes_nothing(file):
    _, layout, weights = parts(file)
    assert patch(file, layout, weights) == file


@pytest.mark.parametrize(
    "name", ["kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "ad01_int8"]
)
def test_patching_a_public_model_with_its_own_weights_changes_nothing(public_file, name):
    file = public_file(name)
    _, layout, weights = parts(file)
    assert patch(file, layout, weights) == file


def test_rounding_the_real_values_gives_the_codes_back(file):
    _, layout, weights = parts(file)
    again = requantize(layout, to_float(layout, weights).astype(np.float64), weights.scales)
    assert np.array_equal(again.codes, weights.codes)
    assert np.array_equal(again.scales, weights.scales)


def test_rounding_gives_back_every_code_that_float32_can_carry(fixture_file):
    _, layout, weights = parts(fixture_file("conv"))
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, layout.size, dtype=np.int32)
    for slot in layout.slots:
        if slot.kind == "bias":
            codes[slot.start : slot.stop] = rng.integers(-(2**23), 2**23, slot.shape)
    codes[~layout.mask] = 0
    given = Weights(codes, weights.scales)
    again = requantize(layout, to_float(layout, given).astype(np.float64), given.scales)
    assert np.array_equal(again.codes, codes)


def test_real_values_are_scale_times_code(fixture_file):
    graph, layout, weights = parts(fixture_file("depthwise"))
    real = to_float(layout, weights)
    for slot in layout.slots:
        tensor = graph.tensors[slot.tensor]
        scale = tensor.quantization.scale.astype(np.float64)
        shape = [1] * len(slot.shape)
        shape[slot.axis] = -1
        expected = tensor.data * scale.reshape(shape)
        assert np.allclose(real[slot.start : slot.stop].reshape(slot.shape), expected, rtol=1e-6)


def test_halves_round_to_even(fixture_file):
    _, layout, weights = parts(fixture_file("dense"))
    weights = Weights(weights.codes, np.ones(2, np.float32))
    master = np.zeros(layout.size)
    trained = np.flatnonzero(layout.mask[:60])[:5]
    master[trained] = [0.5, 1.5, 2.5, -0.5, -1.5]
    assert requantize(layout, master, weights.scales).codes[trained].tolist() == [0, 2, 2, 0, -2]


def test_masked_weights_stay_zero_whatever_the_master_says(fixture_file):
    _, layout, weights = parts(fixture_file("dense"))
    moved = requantize(layout, np.full(layout.size, 1e6), weights.scales)
    assert not moved.codes[~layout.mask].any()
    assert moved.codes[layout.mask].all()
    quiet = requantize(layout, np.where(layout.mask, 0.0, 1e6), weights.scales)
    assert np.array_equal(quiet.scales, weights.scales)


def test_a_channel_that_no_longer_fits_grows_its_scale_and_its_bias_scale(fixture_file):
    file = fixture_file("conv")
    graph, layout, weights = parts(file)
    slot, bias = layout.slots[0], layout.slots[1]
    master = to_float(layout, weights).astype(np.float64)
    channel = master[slot.start : slot.stop].reshape(slot.shape)[2]
    channel[...] = np.where(channel == 0, 0, channel * 3)
    grown = requantize(layout, master, weights.scales)

    changed = np.flatnonzero(grown.scales != weights.scales)
    assert changed.tolist() == [2]
    assert grown.scales[2] == np.float32(np.abs(channel).max() * 1.1 / 127)
    assert np.abs(to_float(layout, grown) - master).max() <= grown.scales.max() / 2

    patched = read_graph(patch(file, layout, grown))
    for name, index in (("weight", 0), ("bias", 1)):
        before = graph.tensors[layout.slots[index].tensor].quantization.scale
        after = patched.tensors[layout.slots[index].tensor].quantization.scale
        assert np.flatnonzero(before != after).tolist() == [2], name
    assert patched.tensors[bias.tensor].quantization.scale[2] == np.float32(
        bias.input_scale
    ) * np.float32(grown.scales[2])


def test_a_bias_that_no_longer_fits_grows_the_scale_too(fixture_file):
    _, layout, weights = parts(fixture_file("conv"))
    bias = layout.slots[1]
    master = to_float(layout, weights).astype(np.float64)
    master[bias.start] = 2.0**31 * slot_scales(bias, weights.scales)[0]
    grown = requantize(layout, master, weights.scales)
    assert np.flatnonzero(grown.scales != weights.scales).tolist() == [0]
    assert 2**29 < grown.codes[bias.start] < 2**30


def test_scales_never_shrink(file):
    _, layout, weights = parts(file)
    moved = requantize(layout, np.zeros(layout.size), weights.scales)
    assert np.array_equal(moved.scales, weights.scales)


def test_a_patched_file_runs_and_computes_with_the_new_weights(file):
    graph, layout, weights = parts(file)
    rng = np.random.default_rng(3)
    master = to_float(layout, weights) * rng.uniform(0.5, 1.5, layout.size)
    patched = patch(file, layout, requantize(layout, master, weights.scales))
    x = rng.integers(-128, 128, graph.tensors[graph.inputs[0]].shape, dtype=np.int8)
    assert not np.array_equal(run_stock(patched, x), run_stock(file, x))


def test_a_patched_layer_gives_what_its_arithmetic_says(fixture_file):
    """The logits of conv.tflite's last layer, recomputed from the patched codes."""
    file = fixture_file("conv")
    _, layout, weights = parts(file)
    codes = weights.codes.copy()
    last, bias = layout.slots[-2], layout.slots[-1]
    codes[last.start : last.stop] = 0
    graph = read_graph(file)
    out = graph.tensors[graph.outputs[0]].quantization
    wanted = np.array([-40, -20, 0, 20, 40])
    scales = slot_scales(bias, weights.scales)
    codes[bias.start : bias.stop] = np.rint((wanted - out.zero_point) * out.scale / scales)
    patched = patch(file, layout, Weights(codes, weights.scales))
    assert run_stock(patched, np.zeros((1, 8, 8, 1), np.int8)).tolist() == [wanted.tolist()]


def test_every_other_byte_of_a_patched_file_is_as_it_was(file):
    graph, layout, weights = parts(file)
    rng = np.random.default_rng(4)
    master = to_float(layout, weights) * rng.uniform(0.5, 3, layout.size)
    patched = patch(file, layout, requantize(layout, master, weights.scales))
    assert len(patched) == len(file)
    allowed = np.zeros(len(file), bool)
    base = np.frombuffer(file, np.uint8)
    for slot in layout.slots:
        tensor = graph.tensors[slot.tensor]
        for array in (tensor.data, tensor.quantization.scale):
            at = array.ctypes.data - base.ctypes.data
            allowed[at : at + array.nbytes] = True
    changed = base != np.frombuffer(patched, np.uint8)
    assert changed.any()
    assert not changed[~allowed].any()
    for index, tensor in enumerate(read_graph(patched).tensors):
        if tensor.data is not None and index not in {s.tensor for s in layout.slots}:
            assert np.array_equal(tensor.data, graph.tensors[index].data)


def test_patching_refuses_what_the_file_cannot_hold(fixture_file):
    file = fixture_file("dense")
    _, layout, weights = parts(file)
    too_large = weights.codes.copy()
    too_large[0] = 128
    with pytest.raises(ModelError, match="a code does not fit int8"):
        patch(file, layout, Weights(too_large, weights.scales))
    with pytest.raises(ModelError, match="for a layout of 103"):
        patch(file, layout, Weights(weights.codes[1:], weights.scales))
    with pytest.raises(ModelError, match="a scale is not between"):
        patch(file, layout, Weights(weights.codes, np.float32([0, 1])))
    _, other, others = parts(fixture_file("conv"))
    with pytest.raises(ModelError, match="not that of the file"):
        patch(file, other, others)


def test_a_master_that_is_not_finite_is_refused(fixture_file):
    _, layout, weights = parts(fixture_file("dense"))
    with pytest.raises(ModelError, match="not finite"):
        requantize(layout, np.full(layout.size, np.nan), weights.scales)


def test_asymmetric_weights_are_unsupported_by_name(fixture_file):
    data = bytearray(fixture_file("dense"))
    graph = read_graph(data)
    graph.tensors[graph.operators[1].inputs[1]].quantization.zero_point[...] = 3
    with pytest.raises(UnsupportedModel, match=r"operator 1 FULLY_CONNECTED .* not symmetric int8"):
        layout_of(read_graph(bytes(data)))
