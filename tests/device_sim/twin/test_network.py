"""Whole graphs: gradients by finite differences, the clamps, and what the int8 file computes."""

import numpy as np
import pytest

from device_sim.twin.run import forward
from tflite_models.interpreter import Interpreter


def test_gradients_are_those_of_finite_differences(model, rng):
    """In float64, where a difference of 1e-6 is not lost in rounding."""
    x, y = model.inputs(rng, 6)
    x, weights, h = x.astype(np.float64), model.weights.astype(np.float64), 1e-6
    _, grad = model.twin.loss_and_gradient(weights, x, y)

    def loss(at):
        return model.twin.loss_and_gradient(at, x, y)[0]

    chosen = rng.permutation(model.layout.size)[:150]
    steps = h * np.eye(model.layout.size)[chosen]
    differences = [(loss(weights + step) - loss(weights - step)) / (2 * h) for step in steps]
    assert np.abs(grad).max() > 0.1
    np.testing.assert_allclose(grad[chosen], differences, atol=1e-7)


def test_float32_gradients_are_those_of_float64(model, rng):
    x, y = model.inputs(rng, 16)
    _, single = model.twin.loss_and_gradient(model.weights, x, y)
    _, double = model.twin.loss_and_gradient(
        model.weights.astype(np.float64), x.astype(np.float64), y
    )
    assert single.dtype == np.float32
    assert np.abs(single - double).max() <= 1e-4 * np.abs(double).max()


def test_the_twin_and_the_int8_interpreter_choose_the_same_digit(weak, digits):
    x = digits[0][-400:]
    classes = weak.twin.predict(weak.weights, x).argmax(axis=1)
    assert (classes == Interpreter(weak.file).predict(x)).mean() >= 0.99


def test_logits_are_within_a_few_steps_of_the_int8_file(model, rng):
    x, _ = model.inputs(rng, 200)
    interpreter = Interpreter(model.file)
    source, target = interpreter.input, interpreter.output
    codes = np.clip(np.rint(x / source.scale) + source.zero_point, -128, 127)
    exact = ((codes - source.zero_point) * source.scale).astype(np.float32)
    int8 = (interpreter.run_int8(codes.astype(np.int8)) - target.zero_point[0]) * target.scale[0]
    ours = model.twin.predict(model.weights, exact)
    if model.graph.operators[-1].name == "SOFTMAX":
        ours = np.exp(ours) / np.exp(ours).sum(axis=1, keepdims=True)
    assert np.abs(int8 - ours).max() <= 6 * target.scale[0]
    assert np.abs(int8 - ours).mean() <= target.scale[0]


def test_predict_does_not_depend_on_how_samples_are_batched(model, rng):
    x, _ = model.inputs(rng, 70)
    one_by_one = np.concatenate(
        [model.twin.predict(model.weights, x[i : i + 1]) for i in range(70)]
    )
    np.testing.assert_allclose(model.twin.predict(model.weights, x), one_by_one, atol=1e-5)
    assert model.twin.predict(model.weights, x[:0]).shape == (0, one_by_one.shape[1])


def test_activations_are_clamped_to_the_range_of_their_codes(sketch):
    """Scale 1/16, zero point 0: an activation holds −8 … 7.9375; zero point −128: 0 … 15.9375."""
    net = sketch(2)
    net.dense([[2, 0], [0, 3]])
    twin, weights = net.twin()
    x = np.array([[1, -1], [3.5, -2], [5, -9], [100, 100]], np.float32)
    np.testing.assert_array_equal(
        twin.predict(weights, x), [[2, -3], [7, -6], [7.9375, -8], [7.9375, 7.9375]]
    )
    shifted = sketch(2)
    shifted.dense([[2, 0], [0, 3]], to=shifted.activation(2, zero=-128, scale=1 / 16))
    twin, weights = shifted.twin()
    np.testing.assert_array_equal(
        twin.predict(weights, x), [[2, 0], [7, 0], [10, 0], [15.875, 15.9375]]
    )


def test_the_input_is_clamped_before_anything_sees_it(sketch):
    net = sketch(2)
    net.dense([[1, -1]], to=net.activation(1, scale=1.0))
    twin, weights = net.twin()
    x = np.array([[1000, 0], [0, 1000], [-1000, 1000]], np.float32)
    np.testing.assert_array_equal(twin.predict(weights, x), [[7.9375], [-7.9375], [-15.9375]])


@pytest.mark.parametrize(
    ("activation", "expected"), [("NONE", [-2, 3, 7]), ("RELU", [0, 3, 7]), ("RELU6", [0, 3, 6])]
)
def test_a_fused_activation_cuts_the_range(sketch, activation, expected):
    net = sketch(1)
    net.dense([[-2], [3], [7]], activation=activation)
    twin, weights = net.twin()
    np.testing.assert_array_equal(twin.predict(weights, np.ones((1, 1), np.float32)), [expected])


@pytest.mark.parametrize(("name", "expected"), [("RELU", [0, 3, 7]), ("RELU6", [0, 3, 6])])
def test_an_activation_that_stands_alone_does_the_same(sketch, name, expected):
    net = sketch(1)
    net.dense([[-2], [3], [7]])
    net.add(name, to=(3,))
    twin, weights = net.twin()
    np.testing.assert_array_equal(twin.predict(weights, np.ones((1, 1), np.float32)), [expected])


def test_no_gradient_passes_a_value_that_was_held(sketch):
    """Outputs 2 (inside), 7.9375 (held above), 0 (held by ReLU): only the first learns."""
    net = sketch(1)
    net.dense([[2], [20], [-3]], activation="RELU")
    twin, weights = net.twin()
    _, grad = twin.loss_and_gradient(weights, np.ones((1, 1), np.float32), np.array([2]))
    assert grad[0] != 0
    np.testing.assert_array_equal(grad[1:], [0, 0])


def test_a_range_that_pooling_and_reshaping_cannot_leave_costs_no_clamp(model):
    """They share their input's scale, so a second clamp would find nothing."""
    names = [operator.name for operator in model.graph.operators]
    for name, step in zip(names, model.twin.program.steps, strict=False):
        if name in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE"):
            assert not step.clamp.bounded


def test_gradients_of_branches_add_up(sketch):
    """y = Wx + Wx through ADD: twice the gradient of y = 2·Wx's half."""
    plain, doubled = sketch(3), sketch(3)
    plain.dense([[2], [4]] @ np.ones((1, 3)), to=plain.activation(2, scale=1.0))
    hidden = doubled.dense([[1], [2]] @ np.ones((1, 3)), to=doubled.activation(2, scale=1.0))
    doubled.add("ADD", hidden, to=doubled.activation(2, scale=1.0), activation="NONE")
    x, y = np.array([[0.25, 0.5, -0.25]], np.float32), np.array([0])
    (one, weights), (two, halves) = plain.twin(), doubled.twin()
    np.testing.assert_array_equal(one.predict(weights, x), two.predict(halves, x))
    np.testing.assert_allclose(
        2 * one.loss_and_gradient(weights, x, y)[1], two.loss_and_gradient(halves, x, y)[1]
    )


def test_weights_that_two_layers_share_get_both_gradients(sketch):
    net = sketch(2)
    shared = net.constant([[1, 2], [3, -1]])
    for _ in range(2):
        out = net.activation(2, scale=1.0)
        net.add("FULLY_CONNECTED", shared, to=out, activation="NONE", keep_num_dims=False)
    twin, weights = net.twin()
    weights = weights.astype(np.float64)
    x, y, h = np.array([[0.3, -0.2]]), np.array([1]), 1e-6
    _, grad = twin.loss_and_gradient(weights, x, y)
    for i, step in enumerate(h * np.eye(4)):
        up, down = (twin.loss_and_gradient(weights + s, x, y)[0] for s in (step, -step))
        assert grad[i] == pytest.approx((up - down) / (2 * h), abs=1e-7)


def test_quantize_at_the_edges_is_the_identity(sketch):
    """A file with float input and output: the twin is that of its int8 inside."""
    net = sketch(2)
    net.source = net.last = net.activation(2, dtype=np.float32, scale=None)
    net.add("QUANTIZE", to=(2,))
    net.dense([[1, 1], [1, -1]])
    net.add("SOFTMAX", to=net.activation(2, scale=1 / 256, zero=-128), beta=1.0)
    net.add("DEQUANTIZE", to=net.activation(2, dtype=np.float32, scale=None))
    twin, weights = net.twin()
    x = np.array([[1.03, 2], [0, 100]], np.float32)
    expected = np.array([[3.03, -0.97], [7.9375, -7.9375]], np.float32)
    np.testing.assert_array_equal(twin.predict(weights, x), expected)


@pytest.mark.parametrize("name", ["kws_ref_model", "pretrainedResnet_quant", "vww_96_int8"])
def test_published_models_of_others_give_the_same_classes(models_dir, load, rng, name):
    """MLPerf Tiny: a DS-CNN, a ResNet, a MobileNet, on random codes."""
    model = load(models_dir / f"{name}.tflite")
    interpreter = Interpreter(model.file)
    source = interpreter.input
    codes = rng.integers(-128, 128, (8, *model.twin.program.sample)) - source.zero_point
    x = (codes * source.scale).astype(np.float32)
    classes = model.twin.predict(model.weights, x).argmax(axis=1)
    assert (classes == interpreter.predict(x)).sum() >= 7


def test_rounded_activations_lie_on_the_grid_of_their_int8_tensors(weak, digits):
    twin = weak.twin
    _, passes = forward(twin.program, twin._params(weak.weights), digits[0][:16], rounded=True)
    stepped = [p for p in passes if p.step.clamp.step and p.step.clamp.bounded]
    assert stepped
    for done in stepped:
        codes = done.output / done.step.clamp.step
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


def test_a_rounded_forward_pass_gives_the_classes_of_the_int8_file(weak, digits):
    x = digits[0][90:890]
    rounded, _ = forward(weak.twin.program, weak.twin._params(weak.weights), x, rounded=True)
    agreed = np.mean(rounded.argmax(1) == Interpreter(weak.file).predict(x))
    assert agreed >= 0.999
