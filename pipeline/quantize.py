"""From a float model to an int8 file: quantisation-aware training and conversion."""

from __future__ import annotations

from typing import Any

from pipeline.errors import BuildError
from pipeline.tf import keras, quiet, tf, tfmot
from pipeline.train import F32

CHUNK = 512  # samples at once
PREFIX = "quant_"  # what the toolkit puts before the name of a layer that it wraps

api: Any = tfmot.quantization.keras


def quantizable(model: Any, x: F32, *, keep_zeros: bool) -> Any:
    """A copy of the model that computes as its int8 file will, ready to be fine-tuned.

    Args:
        model: plain Keras layers; its weights are copied.
        x: (n, *input) samples that show how large every activation becomes.
        keep_zeros: use the toolkit's prune-preserving scheme; plain training
            gives almost every zero a value again.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    try:
        annotated = api.quantize_annotate_model(copy)
        quantized = api.quantize_apply(annotated, *([scheme] if keep_zeros else []))
    except (RuntimeError, ValueError) as e:
        raise BuildError(f"the model cannot be trained for int8: {e}") from e
    _calibrate(quantized, model, x)
    return quantized


def settle(quantized: Any, model: Any, x: F32) -> None:
    """Set every activation's range to what the trained network shows on x.

    While it trains, the toolkit moves the ranges a thousandth of the way to each
    batch's extremes: behind where the weights have gone, inside of what single
    samples need, and as wide as augmentation makes the inputs.

    Args:
        quantized: made by `quantizable` from `model`, and trained since.
        model: gives the architecture; it is left as it is.
        x: (n, *input) samples as a device sees them, not augmented.
    """
    trained = keras.models.clone_model(model)
    for layer in trained.layers:
        for variable in layer.weights:
            wrapper = quantized.get_layer(PREFIX + layer.name)
            # the wrapper's own, such as kernel_min, are named after them
            suffix = "/" + variable.name.rpartition("/")[2]
            (found,) = [v for v in wrapper.weights if v.name.endswith(suffix)]
            variable.assign(found)
    _calibrate(quantized, trained, x)


def float32_file(model: Any) -> bytes:
    """The model as a float32 .tflite file."""
    with quiet():
        return bytes(_converter(model).convert())


def int8_file(model: Any) -> bytes:
    """A model made by `quantizable` as a .tflite file that is int8 throughout, ports included."""
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        return bytes(converter.convert())


def _calibrate(quantized: Any, model: Any, x: F32) -> None:
    """Set every activation's range to what the float model shows on x.

    The toolkit starts at ±6 and goes a thousandth of the way in a step: a short
    training would be one with half of a ReLU's codes spent on negative numbers.
    """
    ranges = _ranges(model, x)
    for layer in quantized.layers:
        if layer.name.startswith("quantize_layer"):
            found = float(x.min()), float(x.max())
        elif layer.name.removeprefix(PREFIX) in ranges:
            found = ranges[layer.name.removeprefix(PREFIX)]
        else:
            continue  # a layer that the toolkit made of another finds its range itself
        low, high = min(found[0], 0.0), max(found[1], 0.0)
        for variable in layer.non_trainable_variables:
            name = variable.name.rpartition("/")[2]
            if name.startswith(("output_", "post_activation_", "quantize_layer")):
                if name.endswith("_min:0"):
                    variable.assign(low)
                elif name.endswith("_max:0"):
                    variable.assign(high)


def _ranges(model: Any, x: F32) -> dict[str, tuple[float, float]]:
    """By layer, the least and the greatest of its outputs over all samples."""
    probe = keras.Model(model.inputs, [layer.output for layer in model.layers])
    chunks = [probe(x[i : i + CHUNK], training=False) for i in range(0, len(x), CHUNK)]
    return {
        layer.name: (
            min(float(tf.reduce_min(chunk[i])) for chunk in chunks),
            max(float(tf.reduce_max(chunk[i])) for chunk in chunks),
        )
        for i, layer in enumerate(model.layers)
    }


def _converter(model: Any) -> Any:
    """For one sample at a time: an unknown batch size would leave SHAPE and PACK in the file."""
    port = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="input")
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    # The converter saves what it is given; the whole Keras model takes seconds, its variables none.
    holder = tf.Module()
    holder.kept = model.variables
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [run.get_concrete_function(port)], holder
    )
