"""Networks by name, and the user's own: what they end in, what their files hold."""

import sys

import pytest

from pipeline.errors import ModelRefusedError
from pipeline.settings import ModelSettings

pytestmark = pytest.mark.tensorflow

# fmt: off
NETWORKS = [
    # architecture, input, operators of its float file besides the final FULLY_CONNECTED
    ("mlp", (8, 8, 1), ["RESHAPE", "FULLY_CONNECTED", "FULLY_CONNECTED"]),
    ("cnn", (8, 8, 1), ["CONV_2D", "MAX_POOL_2D", "CONV_2D", "RESHAPE"]),
    ("cnn1d", (128, 1, 6), ["CONV_2D", "MAX_POOL_2D"] * 2 + ["CONV_2D", "MEAN"]),
    ("cnn1d", (49, 20, 1), ["CONV_2D", "MAX_POOL_2D"] * 2 + ["CONV_2D", "MEAN"]),
    ("dscnn", (49, 20, 1), ["CONV_2D"] + ["DEPTHWISE_CONV_2D", "CONV_2D"] * 4 + ["MEAN"]),
]
# fmt: on


@pytest.mark.parametrize(("name", "shape", "operators"), NETWORKS)
def test_a_network_becomes_only_operators_that_a_device_has(name, shape, operators):
    from pipeline.architectures import make
    from pipeline.quantize import float32_file
    from tflite_models.graph import read_graph

    model = make(ModelSettings(architecture=name, width=4), shape, 5)
    graph = read_graph(float32_file(model))
    assert [op.name for op in graph.operators] == [*operators, "FULLY_CONNECTED"]
    assert graph.tensors[graph.outputs[0]].shape == (1, 5)


def test_a_large_image_is_pooled_until_it_is_small():
    from pipeline.architectures import make

    model = make(ModelSettings(architecture="cnn", width=4), (28, 28, 1), 5)
    assert [layer.output_shape for layer in model.layers][-3] == (None, 3 * 3 * 8)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module(text): a module `mine` in the working folder, gone after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text):
        (tmp_path / "mine.py").write_text(text)
        sys.modules.pop("mine", None)

    yield write
    sys.modules.pop("mine", None)


OWN = """
import tf_keras as keras

def net(input_shape, classes):
    return keras.Sequential([
        keras.layers.Flatten(input_shape=input_shape), keras.layers.Dense(classes)])

def wide(input_shape, classes):
    return net(input_shape, classes + 1)

def inputless(input_shape, classes):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(classes)])

def probable(input_shape, classes):
    return keras.Sequential([*net(input_shape, classes).layers, keras.layers.Softmax()])

def certain(input_shape, classes):
    x = inputs = keras.layers.Input(input_shape)
    x = keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(inputs, x)

def nested(input_shape, classes):
    inputs = keras.layers.Input(input_shape)
    return keras.Model(inputs, certain(input_shape, classes)(inputs))

def lonely(input_shape):
    return net(input_shape, 5)

def narrow(input_shape, classes):
    return keras.Sequential([keras.layers.Conv2D(4, 9, input_shape=input_shape)])

number = 5
"""


def make_own(function):
    from pipeline.architectures import make

    return make(ModelSettings(architecture=f"keras:mine:{function}"), (8, 8, 1), 5)


def test_a_function_of_ones_own_in_the_working_folder_is_called(module):
    module(OWN)
    assert make_own("net").output_shape == (None, 5)


def test_a_model_of_ones_own_with_other_ports_is_refused(module):
    module(OWN)
    with pytest.raises(
        ModelRefusedError, match=r"to \(None, 6\); it must go .* logits \(None, 5\)"
    ):
        make_own("wide")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (
            "inputless",
            r"returned a Sequential that does not know its input; .*Input\(input_shape\)",
        ),
        ("probable", "ends in a softmax; it must end in logits"),
        ("certain", "ends in a softmax"),
        ("nested", "ends in a softmax"),
        ("lonely", r"too many positional arguments; a function\(input_shape, classes\) is needed"),
        ("narrow", r"fails on samples of shape \(8, 8, 1\)"),
        ("number", r"not a callable object; a function\(input_shape, classes\)"),
    ],
)
def test_a_function_that_gives_no_usable_network_is_refused_with_the_way_out(
    module, function, told
):
    module(OWN)
    with pytest.raises(ModelRefusedError, match=rf"keras:mine:{function}.*{told}"):
        make_own(function)


@pytest.mark.parametrize("height", [3, 9, 14])
def test_data_that_an_architecture_cannot_take_are_refused(height):
    from pipeline.architectures import make

    with pytest.raises(ModelRefusedError, match=rf"'cnn1d' cannot take .*\({height}, 1, 2\).*mlp"):
        make(ModelSettings(architecture="cnn1d"), (height, 1, 2), 5)
    make(ModelSettings(architecture="cnn1d"), (15, 1, 2), 5)


def test_a_keras_3_model_is_refused_with_the_way_out(module):
    module("import keras\nnet = lambda shape, classes: keras.Sequential([keras.Input(shape)])")
    with pytest.raises(
        ModelRefusedError, match=r"returned a keras\..*refuse Keras 3.*import tf_keras"
    ):
        make_own("net")


@pytest.mark.parametrize(
    ("text", "told"), [("x = 1", "has no attribute 'net'"), ("import nowhere", "nowhere")]
)
def test_a_function_that_cannot_be_found_is_named(module, text, told):
    module(text)
    with pytest.raises(ModelRefusedError, match=rf"keras:mine:net.*{told}"):
        make_own("net")
