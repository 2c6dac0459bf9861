"""Every operator against TensorFlow: its output, and its gradients by inputs and parameters."""

import os

import numpy as np
import pytest

from device_sim.twin.conv import Conv2D
from device_sim.twin.dense import Dense
from device_sim.twin.depthwise import DepthwiseConv2D
from device_sim.twin.loss import cross_entropy
from device_sim.twin.pool import AveragePool, MaxPool, Mean
from device_sim.twin.program import Program, Range, Step
from device_sim.twin.run import backward, forward
from device_sim.twin.simple import Add, Reshape
from device_sim.twin.window import window

pytestmark = pytest.mark.tensorflow

# height, width, in, filter height, filter width, stride h, stride w, padding
GEOMETRIES = [
    (8, 8, 3, 3, 3, 1, 1, "SAME"),
    (9, 7, 2, 3, 3, 2, 2, "SAME"),
    (8, 10, 3, 3, 3, 2, 2, "SAME"),  # pads behind only
    (7, 5, 4, 1, 1, 1, 1, "VALID"),
    (7, 6, 4, 1, 1, 2, 2, "SAME"),
    (9, 8, 1, 4, 2, 2, 1, "SAME"),
    (11, 1, 6, 5, 1, 1, 1, "SAME"),
    (12, 1, 3, 5, 1, 3, 1, "VALID"),  # leaves rows behind
    (10, 9, 2, 2, 3, 1, 2, "VALID"),
    (5, 5, 2, 5, 5, 1, 1, "VALID"),
    (4, 3, 2, 5, 4, 2, 3, "SAME"),  # the filter is larger than the sample
]


@pytest.fixture(scope="module")
def tf():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


@pytest.fixture(params=GEOMETRIES, ids=lambda g: "x".join(map(str, g)))
def frame(request):
    height, width, channels, *taps, stride_h, stride_w, padding = request.param
    made = window((height, width), tuple(taps), (stride_h, stride_w), padding)
    return made, channels, padding


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def relative(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12)


def compare(tf, rng, op, reference, inputs, params):
    """The operator and TensorFlow's function of (inputs, params), under a random output gradient."""
    variables = [tf.Variable(a) for a in (*inputs, *params)]
    with tf.GradientTape() as tape:
        expected = reference(variables[: len(inputs)], variables[len(inputs) :])
        grad = normal(rng, *expected.shape)
        scalar = tf.reduce_sum(expected * grad)
    kept = [a.copy() for a in (*inputs, *params)]
    output, saved = op.forward(tuple(params), tuple(inputs))
    by_inputs, by_params = op.backward(saved, grad)

    assert relative(output, expected) <= 1e-5
    for ours, theirs in zip(
        (*by_inputs, *by_params), tape.gradient(scalar, variables), strict=True
    ):
        assert ours.dtype == np.float32
        assert relative(ours.reshape(theirs.shape), theirs) <= 1e-4
    for before, after in zip(kept, (*inputs, *params), strict=True):
        np.testing.assert_array_equal(before, after, "an operator writes into its arguments")


@pytest.mark.parametrize("biased", [True, False])
def test_conv_2d(tf, rng, frame, biased):
    made, channels, padding = frame
    x = normal(rng, 3, made.in_h, made.in_w, channels)
    kernel = normal(rng, 5, made.height, made.width, channels)
    bias = [normal(rng, 5)] if biased else []

    def reference(inputs, params):
        hwio = tf.transpose(params[0], (1, 2, 3, 0))
        y = tf.nn.conv2d(inputs[0], hwio, (made.stride_h, made.stride_w), padding)
        return y + params[1] if biased else y

    compare(tf, rng, Conv2D(made, first=False), reference, [x], [kernel, *bias])


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_conv_2d(tf, rng, frame, multiplier):
    made, channels, padding = frame
    x = normal(rng, 3, made.in_h, made.in_w, channels)
    kernel = normal(rng, 1, made.height, made.width, channels * multiplier)
    bias = normal(rng, channels * multiplier)

    def reference(inputs, params):
        # A convolution with a block diagonal kernel: TensorFlow's own depthwise convolution
        # knows equal strides only.
        taps = tf.reshape(params[0], (made.height, made.width, channels, multiplier))
        if made.stride_h == made.stride_w:
            strides = (1, made.stride_h, made.stride_w, 1)
            return tf.nn.depthwise_conv2d(inputs[0], taps, strides, padding) + params[1]
        blocks = tf.eye(channels)[None, None, :, :, None] * taps[:, :, :, None, :]
        hwio = tf.reshape(blocks, (made.height, made.width, channels, channels * multiplier))
        return tf.nn.conv2d(inputs[0], hwio, (made.stride_h, made.stride_w), padding) + params[1]

    op = DepthwiseConv2D(made, multiplier, first=False)
    compare(tf, rng, op, reference, [x], [kernel, bias])


@pytest.mark.parametrize(("kind", "name"), [(AveragePool, "avg_pool2d"), (MaxPool, "max_pool2d")])
def test_pools(tf, rng, frame, kind, name):
    made, channels, padding = frame
    x = normal(rng, 3, made.in_h, made.in_w, channels)
    size, strides = (made.height, made.width), (made.stride_h, made.stride_w)

    def reference(inputs, params):
        return getattr(tf.nn, name)(inputs[0], size, strides, padding)

    compare(tf, rng, kind(made), reference, [x], [])


def test_max_pool_gives_the_gradient_to_the_first_of_equals(tf, rng):
    made = window((6, 6), (2, 2), (2, 2), "VALID")
    x = rng.integers(0, 2, (4, 6, 6, 3)).astype(np.float32)

    def reference(inputs, params):
        return tf.nn.max_pool2d(inputs[0], 2, 2, "VALID")

    compare(tf, rng, MaxPool(made), reference, [x], [])


@pytest.mark.parametrize(("into", "out"), [(1, 1), (7, 3), (64, 10)])
@pytest.mark.parametrize("biased", [True, False])
def test_fully_connected(tf, rng, into, out, biased):
    bias = [normal(rng, out)] if biased else []

    def reference(inputs, params):
        y = tf.matmul(inputs[0], params[0], transpose_b=True)
        return y + params[1] if biased else y

    op = Dense((out,), first=False)
    compare(tf, rng, op, reference, [normal(rng, 5, into)], [normal(rng, out, into), *bias])


def test_fully_connected_flattens_an_image_and_keeps_rows(tf, rng):
    weights, bias = normal(rng, 4, 12), normal(rng, 4)

    def flat(inputs, params):
        return tf.reshape(inputs[0], (3, 12)) @ tf.transpose(params[0]) + params[1]

    def rows(inputs, params):
        return tf.tensordot(inputs[0], params[0], [[2], [1]]) + params[1]

    image, table = normal(rng, 3, 2, 3, 2), normal(rng, 3, 5, 12)
    compare(tf, rng, Dense((4,), first=False), flat, [image], [weights, bias])
    compare(tf, rng, Dense((5, 4), first=False), rows, [table], [weights, bias])


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 3), (16, 1)])
def test_mean(tf, rng, height, width, keep):
    def reference(inputs, params):
        return tf.reduce_mean(inputs[0], (1, 2), keepdims=keep)

    x = normal(rng, 3, height, width, 4)
    compare(tf, rng, Mean(height, width, keep), reference, [x], [])


def test_add(tf, rng):
    x, y = normal(rng, 3, 4, 2), normal(rng, 3, 4, 2)
    compare(tf, rng, Add(), lambda inputs, _: inputs[0] + inputs[1], [x, y], [])


def test_reshape(tf, rng):
    def reference(inputs, params):
        return tf.reshape(inputs[0], (3, 24))

    compare(tf, rng, Reshape((4, 3, 2), (24,)), reference, [normal(rng, 3, 4, 3, 2)], [])


@pytest.mark.parametrize(
    ("clamp", "name"),
    [
        (Range(0.0), "relu"),
        (Range(0.0, 6.0), "relu6"),
        (Range(-1.5, 0.75), "a tensor's range"),
    ],
)
def test_clamps(tf, rng, clamp, name):
    """A sum is clamped: the gradient of both its inputs is TensorFlow's."""
    weights = np.eye(40, dtype=np.float32)
    x = 4 * normal(rng, 3, 40)
    x[0, :3] = 0.0  # where ReLU's gradient is 0
    steps = (Step(Dense((40,), first=True), (0,), 1, (0,), clamp, learns=True),)
    program = Program(steps, 0, (40,), Range(), 1, 40)
    by_weights = np.zeros_like(weights)
    grad = normal(rng, 3, 40)
    output, passes = forward(program, (weights,), x)
    backward(program, passes, grad, (by_weights,))

    functions = {"relu": tf.nn.relu, "relu6": tf.nn.relu6}
    cut = functions.get(name, lambda y: tf.clip_by_value(y, clamp.low, clamp.high))
    variable = tf.Variable(weights)
    with tf.GradientTape() as tape:
        expected = cut(tf.matmul(x, variable, transpose_b=True))
        scalar = tf.reduce_sum(expected * grad)
    assert relative(output, expected) <= 1e-5
    assert relative(by_weights, tape.gradient(scalar, variable)) <= 1e-4


def test_softmax_with_cross_entropy(tf, rng):
    logits, y = 8 * normal(rng, 9, 5), rng.integers(0, 5, 9)
    loss, grad = cross_entropy(logits, y)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        expected = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(y, variable))
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert relative(grad, tape.gradient(expected, variable)) <= 1e-4
