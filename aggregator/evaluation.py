"""How good a version is: its int8 file on the test share, computed as a device computes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.int8 import Int8Model
from core.library import NoCoreError
from tflite_models.errors import UnsupportedModel
from tflite_models.interpreter import Interpreter, quantize


def accuracy(file: bytes, x: NDArray[np.float32], y: NDArray[np.integer[Any]]) -> float:
    """The share of real inputs (n, *input), n > 0, whose largest output is that of y (n,).

    On the core: the bytes of TensorFlow Lite Micro.  Without the compiled core, or for an
    operator that it lacks, on LiteRT, which rounds a few operators differently.
    Raises ModelError for a file that neither can run.
    """
    try:
        model = Int8Model(file)
    except (NoCoreError, UnsupportedModel):
        return Interpreter(file).accuracy(x, y)
    quantization = model.input.quantization
    if model.input.dtype != np.int8 or model.output.dtype != np.int8 or quantization is None:
        return Interpreter(file).accuracy(x, y)  # which says what is allowed
    outputs = model.run(quantize(x, quantization)).reshape(len(x), -1)
    return float((outputs.argmax(axis=1) == y).mean())
