"""Make digits.tflite beside this script: `python tests/device_sim/twin/make_digits.py`.

A weak classifier of scikit-learn's digits, trained on the first 90 of `order()`, half of its
weights pruned: 8×8×1 → conv 3×3×8 ReLU SAME → max pool 2 → (depthwise 3×3 ReLU → conv 1×1) + skip
→ ReLU → conv 3×3×16 ReLU → fully connected 10 → softmax.  Needs TensorFlow.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
import tf_keras as keras
from sklearn.datasets import load_digits

layers = keras.layers
SAMPLES = 90


def network() -> keras.Model:
    x = image = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = skip = layers.MaxPooling2D(2)(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Conv2D(8, 1)(x)
    x = layers.ReLU()(layers.Add()([x, skip]))
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def prune(model: keras.Model) -> None:
    """Set the smaller half of each kernel to zero."""
    model.set_weights(
        [
            w if w.ndim == 1 else np.where(abs(w) < np.median(abs(w)), 0, w)
            for w in model.get_weights()
        ]
    )


def convert(model: keras.Model, x: np.ndarray) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in x)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main() -> None:
    keras.utils.set_random_seed(1)
    x, y = load_digits(return_X_y=True)
    chosen = np.random.Generator(np.random.PCG64(0)).permutation(len(y))[:SAMPLES]
    x, y = (x[chosen] / 16).reshape(-1, 8, 8, 1).astype(np.float32), y[chosen]
    model = network()
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=40, batch_size=16, verbose=0)
    for _ in range(15):
        prune(model)
        model.fit(x, y, epochs=1, batch_size=16, verbose=0)
    prune(model)
    data = convert(model, x)
    Path(__file__).with_name("digits.tflite").write_bytes(data)
    print(f"digits.tflite {len(data)} bytes")


if __name__ == "__main__":
    main()
