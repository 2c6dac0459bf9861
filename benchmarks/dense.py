"""int8 .tflite files of fully connected layers, written without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from tflite_models.packing import Packer

_RELU = schema.ActivationFunctionType.RELU


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights, and what comes out: real = scale · (code − zero_point)."""

    weights: NDArray[np.int8]  # (outputs, inputs)
    weight_scale: float
    scale: float
    zero_point: int
    relu: bool


def network(layers: Sequence[Layer], input_scale: float, input_zero_point: int) -> bytes:
    """A file of these layers, their biases 0, one after the other."""
    packer = Packer()
    buffers = [packer.table("Buffer")]
    width = layers[0].weights.shape[1]
    tensors = [
        _tensor(packer, (1, width), schema.TensorType.INT8, 0, input_scale, input_zero_point, "x")
    ]
    operators = []
    source, source_scale = 0, input_scale
    for number, layer in enumerate(layers):
        outputs = len(layer.weights)
        for data in (layer.weights.astype(np.int8), np.zeros(outputs, "<i4")):
            raw = packer.data(data.tobytes(), len(buffers))
            buffers.append(packer.table("Buffer", Data=raw))
        weight, bias, result = len(tensors), len(tensors) + 1, len(tensors) + 2
        bias_scale = source_scale * layer.weight_scale
        name = "y" if number == len(layers) - 1 else ""
        tensors += [
            _tensor(packer, layer.weights.shape, schema.TensorType.INT8, len(buffers) - 2,
                    layer.weight_scale, 0),
            _tensor(packer, (outputs,), schema.TensorType.INT32, len(buffers) - 1, bias_scale, 0),
            _tensor(packer, (1, outputs), schema.TensorType.INT8, 0, layer.scale,
                    layer.zero_point, name),
        ]  # fmt: skip
        options = {"FusedActivationFunction": _RELU} if layer.relu else {}
        operators.append(
            packer.table(
                "Operator",
                Inputs=packer.indices((source, weight, bias)),
                Outputs=packer.indices((result,)),
                BuiltinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
                BuiltinOptions=packer.table("FullyConnectedOptions", **options),
            )
        )
        source, source_scale = result, layer.scale
    return packer.finish(_model(packer, tensors, operators, buffers, source))


def _model(
    packer: Packer, tensors: list[int], operators: list[int], buffers: list[int], output: int
) -> int:
    """The root of a file: one subgraph, from tensor 0 to `output`."""
    code = schema.BuiltinOperator.FULLY_CONNECTED
    codes = packer.table("OperatorCode", DeprecatedBuiltinCode=code, BuiltinCode=code, Version=4)
    subgraph = packer.table(
        "SubGraph",
        Tensors=packer.tables(tensors),
        Inputs=packer.indices((0,)),
        Outputs=packer.indices((output,)),
        Operators=packer.tables(operators),
    )
    return packer.table(
        "Model",
        Version=3,
        OperatorCodes=packer.tables([codes]),
        Subgraphs=packer.tables([subgraph]),
        Buffers=packer.tables(buffers),
    )


def _tensor(
    packer: Packer,
    shape: Sequence[int],
    kind: int,
    buffer: int,
    scale: float,
    zero_point: int,
    name: str = "",
) -> int:
    # Scales of their own for each tensor: training writes to them.
    own = len(shape), buffer, name
    quantization = packer.table(
        "QuantizationParameters",
        Scale=packer.array(np.array([scale], np.float32), own),
        ZeroPoint=packer.array(np.array([zero_point], np.int64)),
    )
    return packer.table(
        "Tensor",
        Shape=packer.indices(shape),
        Type=kind,
        Buffer=buffer,
        Name=packer.text(name) if name else 0,
        Quantization=quantization,
    )
