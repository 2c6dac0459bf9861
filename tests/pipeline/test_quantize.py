"""The ranges of activations in a file: all that the network shows, and little more."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

WASTED = 0.02  # share of the codes


def networks():
    """Ways in which a layer, its normalisation and its ReLU come together."""
    from pipeline.tf import keras

    layers = keras.layers

    def normalised():
        x = inputs = layers.Input((6, 6, 1))
        x = layers.Conv2D(4, 3, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return inputs, layers.GlobalAveragePooling2D()(x)

    def residual():
        x = inputs = layers.Input((6, 6, 1))
        x = one = layers.ReLU()(layers.Conv2D(4, 3, padding="same")(x))
        x = layers.Conv2D(4, 1, activation="relu")(x)
        x = layers.ReLU()(layers.Add()([x, one]))
        return inputs, layers.Flatten()(layers.MaxPool2D(3)(x))

    def dense():
        inputs = layers.Input((6, 6, 1))
        x = layers.Dense(8, activation="relu")(layers.Flatten()(inputs))
        return inputs, layers.ReLU()(layers.Dense(6)(x))

    return {f.__name__: f for f in (normalised, residual, dense)}


@pytest.fixture(scope="module", params=["normalised", "residual", "dense"])
def case(request):
    """A network after a short, hot, noisy quantisation-aware training; its file; its samples."""
    from pipeline.quantize import int8_file, quantizable, settle
    from pipeline.settings import ModelSettings
    from pipeline.tf import keras
    from pipeline.train import Samples, train

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    x = rng.normal(0.5, 1.0, (64, 6, 6, 1)).astype(np.float32)
    inputs, features = networks()[request.param]()
    model = keras.Model(inputs, keras.layers.Dense(3)(features))
    samples = Samples(x, np.arange(64, dtype=np.int32) % 3, 3)
    quantized = quantizable(model, x, keep_zeros=True)
    settings = ModelSettings(batch=8, noise=0.5)
    train(quantized, samples, settings, epochs=10, learning_rate=1e-2, seed=1)
    settle(quantized, model, x)
    return int8_file(quantized), x


def codes_of(file, x):
    """By activation tensor, its codes for every sample."""
    from ai_edge_litert import interpreter as litert

    from tflite_models.graph import read_graph
    from tflite_models.interpreter import quantize

    graph = read_graph(file)
    stock = litert.Interpreter(
        model_content=file,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    stock.allocate_tensors()
    port = graph.inputs[0]
    # what is pooled keeps the range of what it is pooled from
    tensors = {port: "input"} | {
        op.outputs[0]: f"{op.index} {op.name}" for op in graph.operators if "MAX" not in op.name
    }
    codes = {name: [] for name in tensors.values()}
    for sample in quantize(x, graph.tensors[port].quantization):
        stock.set_tensor(port, sample[None])
        stock.invoke()
        for tensor, name in tensors.items():
            codes[name].append(stock.get_tensor(tensor).astype(int))
    return {name: np.stack(found) for name, found in codes.items()}


def test_every_activation_uses_its_codes_and_none_is_cut(case):
    for name, codes in codes_of(*case).items():
        if "RESHAPE" in name:
            continue  # its input again, which may be a pool's output
        assert codes.max() - codes.min() >= (1 - WASTED) * 255, name
        # the sample that sets the range is at its end, and what rounds to the same
        assert (codes == 127).sum() <= 3, name
