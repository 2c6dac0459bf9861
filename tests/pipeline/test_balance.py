"""Balancing: the answers stay, the layers even out, and what may not move does not."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow


def int8_file_of(model, x):
    from pipeline.quantize import int8_file, quantizable

    return int8_file(quantizable(model, x, keep_zeros=False))


def uneven(relu=None):
    """Two convolutions whose first has weights 32 times too large, and a residual."""
    from pipeline.tf import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    x = inputs = layers.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = relu_1 = layers.ReLU(relu)(x)
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(x)
    x = layers.Add()([x, relu_1])
    x = layers.MaxPool2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(3)(x))
    first = model.layers[1]
    first.set_weights([32 * w for w in first.get_weights()])
    return model


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).random((40, 6, 6, 2), np.float32)


@pytest.fixture(scope="module")
def file(x):
    return int8_file_of(uneven(), x)


def norms(file):
    """The norm of each kernel's real values."""
    from tflite_models.graph import read_graph
    from tflite_models.parameters import layout_of, to_float, weights_of
    from tflite_models.strip import strip

    graph = read_graph(strip(file))
    layout = layout_of(graph)
    real = to_float(layout, weights_of(graph, layout))
    return [
        float(np.linalg.norm(real[s.start : s.stop])) for s in layout.slots if s.kind == "weight"
    ]


def test_a_balanced_file_gives_the_same_codes(file, x):
    from pipeline.balance import balance
    from tflite_models.interpreter import Interpreter, quantize

    before, after = Interpreter(file), Interpreter(balance(file))
    codes = quantize(x, before.input)
    assert np.array_equal(after.run_int8(codes), before.run_int8(codes))
    assert after.output.scale == before.output.scale


def test_large_weights_before_small_ones_are_evened_out(file):
    from pipeline.balance import balance

    first, _, last = norms(file)
    balanced_first, _, balanced_last = norms(balance(file))
    assert first > 8 * last
    assert balanced_first < 3 * balanced_last
    assert balanced_first * balanced_last == pytest.approx(first * last, rel=1e-5)


def test_balancing_twice_changes_nothing_more(file):
    from pipeline.balance import balance

    assert balance(balance(file)) == balance(file) != file


def test_values_that_relu6_cuts_keep_their_scale(x):
    from pipeline.balance import balance

    file = int8_file_of(uneven(relu=6.0), x)
    assert balance(file) == file
