"""Networks small enough for a microcontroller, by name, and the user's own.

All take (height, width, channels) and end in logits: without a softmax in the
file the output keeps its resolution (int8 probabilities of a sure network are
all 127 or -128), the class is the same, and the federated twin takes logits
anyway.  Every layer becomes one of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED,
AVERAGE_POOL_2D, MAX_POOL_2D, MEAN, ADD, RESHAPE; batch normalisation is folded.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import BuildError
from pipeline.settings import ModelSettings
from pipeline.tf import keras

Shape = tuple[int, int, int]
Pair = tuple[int, int]

layers: Any = keras.layers


def make(settings: ModelSettings, shape: Shape, classes: int) -> Any:
    """A fresh tf_keras model from (n, *shape) to logits (n, classes).

    Raises:
        BuildError: the data does not suit the architecture, or the user's function
            cannot be used; the message says why.
    """
    if settings.architecture.startswith("keras:"):
        _, module, function = settings.architecture.split(":")
        return _own(module, function, shape, classes)
    x = inputs = layers.Input(shape)
    x = _BODIES[settings.architecture](x, settings.width)
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
        raise BuildError(f"{named}: {e}; the module is looked for in {here} too") from e
    model = make_model(shape, classes)
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise BuildError(
            f"{named} returned a {kind}; a tf_keras model is needed, because pruning and "
            "quantisation-aware training (tensorflow-model-optimization) refuse Keras 3: "
            "write `import tf_keras as keras` where it says `import keras` or `tf.keras`"
        )
    ports = model.input_shape, model.output_shape
    if ports != ((None, *shape), (None, classes)):
        raise BuildError(
            f"{named} returned a model from {ports[0]} to {ports[1]}; "
            f"it must go from {(None, *shape)} to logits {(None, classes)}"
        )
    return model
