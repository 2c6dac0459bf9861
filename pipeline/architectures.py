"""Networks small enough for a microcontroller, by name, and the user's own.

All take (height, width, channels) and end in logits: without a softmax in the
file the output keeps its resolution (int8 probabilities of a sure network are
all 127 or -128), the class is the same, and the federated twin takes logits
anyway.  Every layer becomes one of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED,
AVERAGE_POOL_2D, MAX_POOL_2D, MEAN, ADD, RESHAPE; batch normalisation is folded.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import ModelRefusedError
from pipeline.settings import ModelSettings
from pipeline.tf import keras

Shape = tuple[int, int, int]
Pair = tuple[int, int]

layers: Any = keras.layers


def make(settings: ModelSettings, shape: Shape, classes: int) -> Any:
    """A fresh tf_keras model from (n, *shape) to logits (n, classes).

    Raises:
        ModelRefusedError: the data does not suit the architecture, or the user's function
            cannot be used; the message says why.
    """
    if settings.architecture.startswith("keras:"):
        _, module, function = settings.architecture.split(":")
        return _own(module, function, shape, classes)
    x = inputs = layers.Input(shape)
    try:
        x = _BODIES[settings.architecture](x, settings.width)
    except ValueError as e:  # Keras: a dimension would become negative
        raise ModelRefusedError(
            f"model.architecture = {settings.architecture!r} cannot take samples of shape {shape}: "
            "its strides and pooling leave nothing of them; mlp takes any shape"
        ) from e
    x = layers.Dropout(settings.dropout)(x)
    return keras.Model(inputs, layers.Dense(classes)(x))


def _mlp(x: Any, width: int) -> Any:
    """Two hidden layers, the second half as wide.

    Without batch normalisation: the toolkit folds it into convolutions only.
    """
    x = layers.Flatten()(x)
    for units in (width, max(1, width // 2)):
        x = layers.Dense(units, activation="relu")(x)
    return x


def _cnn(x: Any, width: int) -> Any:
    """3x3 convolutions, each followed by pooling that halves the image, down to 4 pixels or 3."""
    x = _conv(x, width, (3, 3))
    while min(x.shape[1:3]) >= 6:
        x = layers.MaxPool2D()(x)
        x = _conv(x, 2 * width, (3, 3))
    return layers.Flatten()(x)


def _cnn1d(x: Any, width: int) -> Any:
    """Three convolutions over time with a stride and pooling, then the mean over time.

    The first kernel spans the whole second axis, so the bins of a spectrogram are channels
    (Choi et al. 2019, temporal convolution) and what follows has width 1, as a window
    (time, 1, channels) has from the start: a 1-D network without a change of shape.
    """
    x = _conv(x, width, (9, x.shape[2]), (2, 1), padding="valid")
    x = layers.MaxPool2D((2, 1))(x)
    x = _conv(x, width, (5, 1))
    x = layers.MaxPool2D((2, 1))(x)
    x = _conv(x, 2 * width, (5, 1))
    return layers.GlobalAveragePooling2D()(x)


def _dscnn(x: Any, width: int) -> Any:
    """Depthwise separable blocks after one strided convolution (Zhang et al. 2017, Hello Edge)."""
    x = _conv(x, width, (10, 4), (2, 2))
    for stride in ((2, 2), (1, 1), (1, 1), (1, 1)):
        x = layers.DepthwiseConv2D((3, 3), stride, padding="same", use_bias=False)(x)
        x = _normalised(x)
        x = _conv(x, 2 * width, (1, 1))
    return layers.GlobalAveragePooling2D()(x)


def _conv(x: Any, filters: int, kernel: Pair, stride: Pair = (1, 1), padding: str = "same") -> Any:
    x = layers.Conv2D(filters, kernel, stride, padding=padding, use_bias=False)(x)
    return _normalised(x)


def _normalised(x: Any) -> Any:
    # 0.9: statistics must settle within the few hundred steps of a small data set
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x)


_BODIES: dict[str, Callable[[Any, int], Any]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "cnn1d": _cnn1d,
    "dscnn": _dscnn,
}


def _own(module: str, function: str, shape: Shape, classes: int) -> Any:
    """Call the user's function(input_shape, classes), its module found from here as well."""
    named = f"model.architecture = 'keras:{module}:{function}'"
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        make_model = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as e:
        raise ModelRefusedError(f"{named}: {e}; the module is looked for in {here} too") from e
    try:
        inspect.signature(make_model).bind(shape, classes)
    except TypeError as e:
        raise ModelRefusedError(f"{named}: {e}; a function(input_shape, classes) is needed") from e
    try:
        model = make_model(shape, classes)
    except ValueError as e:  # what Keras raises where layers do not fit
        raise ModelRefusedError(f"{named} fails on samples of shape {shape}: {e}") from e
    reason = _objection(model, shape, classes)
    if reason:
        raise ModelRefusedError(f"{named} returned a {reason}")
    return model


def _objection(model: Any, shape: Shape, classes: int) -> str:
    """What speaks against a user's model, and the way out; empty if nothing does."""
    if not isinstance(model, keras.Model):
        return (
            f"{type(model).__module__}.{type(model).__qualname__}; a tf_keras model is needed, "
            "because pruning and quantisation-aware training (tensorflow-model-optimization) "
            "refuse Keras 3: write `import tf_keras as keras` where it says `import keras` "
            "or `tf.keras`"
        )
    if not model.inputs:
        return (
            f"{type(model).__qualname__} that does not know its input; "
            "begin a Sequential with keras.layers.Input(input_shape), "
            "and write a subclass of Model as a functional one"
        )
    ports = model.input_shape, model.output_shape
    if ports != ((None, *shape), (None, classes)):
        return (
            f"model from {ports[0]} to {ports[1]}; "
            f"it must go from {(None, *shape)} to logits {(None, classes)}"
        )
    if _ends_in_softmax(model):
        return (
            "model that ends in a softmax; it must end in logits, "
            "a Dense(classes) without activation, which give the same class"
        )
    return ""


def _ends_in_softmax(model: Any) -> bool:
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return _ends_in_softmax(last)
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    return softmax or isinstance(last, layers.Softmax)
