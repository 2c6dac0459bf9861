"""Small .tflite files of a few operators, for comparing kernels with the oracle one by one."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


@dataclass
class Tensor:
    """A tensor of the file; constant when it has data."""

    shape: tuple[int, ...] = ()
    scale: float | np.ndarray | None = 1.0
    zero: int = 0
    data: np.ndarray | None = None
    axis: int = 0
    dtype: str = "int8"
    variable: bool = False


@dataclass
class Step:
    """An operator: its name and options as the schema spells them, and tensors by number."""

    name: str
    inputs: list[int]
    output: int
    options: dict[str, object] = field(default_factory=dict)


OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "RESHAPE": "ReshapeOptions",
    "SHAPE": "ShapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SVDF": "SVDFOptions",
}


def activation(values, **more):
    """A tensor that is not constant: its shape, scale and zero point."""
    return Tensor(values, **more)


def constant(data, **more):
    """A constant tensor."""
    return Tensor(data.shape, data=data, dtype=data.dtype.name, **more)


def make_file(tensors, steps):
    """The bytes of a file with one input, tensor 0, whose output is the last step's."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, "test"
    model.subgraphs, model.buffers = [graph], [schema.BufferT()]
    graph.tensors = [_tensor(model, tensor, i) for i, tensor in enumerate(tensors)]
    graph.inputs, graph.outputs = [0], [steps[-1].output]
    model.operatorCodes, graph.operators = [], []
    for step in steps:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, step.name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 2
        operator.opcodeIndex = len(model.operatorCodes)
        operator.inputs, operator.outputs = step.inputs, [step.output]
        if step.name in OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[step.name])
            operator.builtinOptions = getattr(schema, OPTIONS[step.name] + "T")()
            for name, value in step.options.items():
                assert hasattr(operator.builtinOptions, name)
                setattr(operator.builtinOptions, name, value)
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(model, tensor, index):
    made = schema.TensorT()
    made.name, made.shape, made.buffer = f"tensor {index}", list(tensor.shape), 0
    made.isVariable = tensor.variable
    made.type = getattr(schema.TensorType, tensor.dtype.upper())
    if tensor.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(tensor.data.tobytes(), np.uint8)
        made.buffer = len(model.buffers)
        model.buffers.append(buffer)
    if tensor.scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.atleast_1d(np.float32(tensor.scale))
        made.quantization.zeroPoint = np.full(made.quantization.scale.size, tensor.zero, np.int64)
        made.quantization.quantizedDimension = tensor.axis
    return made
