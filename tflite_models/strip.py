"""Repack a .tflite file with what a device never reads dropped.

Dropped: tensor names but those of inputs and outputs, metadata, signatures,
the description, min/max of quantisation, shape signatures, the subgraph's
name, buffers that nothing uses, and every part that repeats another.  What
remains lies by kind, like next to like, which is what DEFLATE wants.  The
scales of biases stay although weights and inputs imply them: the stock
kernels check them.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflite_models.graph import Graph, Operator, place, read_graph, unsupported
from tflite_models.packing import Packer

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_DEPRECATED_MOST = 127  # operator codes beyond it do not fit the schema's first field for them


def strip(file: bytes) -> bytes:
    """The same model in fewer bytes: the same tensors by index, operators and outputs.

    The same file always gives the same bytes, and stripping twice changes
    nothing more.  Weights and biases keep, or get, bytes of their own, so
    `layout_of` accepts the result.  Raises ModelError as `read_graph` does,
    and UnsupportedModel for operators with intermediate tensors.
    """
    graph = read_graph(file)
    with place("file"):  # fields that read_graph has no use for may be damaged
        return _repack(graph, schema.Model.GetRootAs(file))


def _repack(graph: Graph, model: Any) -> bytes:
    packer = Packer()
    buffers, tensors = _tensors(packer, graph, model.Subgraphs(0))
    codes, operators = _operators(packer, graph, model)
    subgraph = packer.table(
        "SubGraph",
        Tensors=packer.tables(tensors),
        Inputs=packer.indices(graph.inputs),
        Outputs=packer.indices(graph.outputs),
        Operators=packer.tables(operators),
    )
    root = packer.table(
        "Model",
        Version=3,
        OperatorCodes=packer.tables(codes),
        Subgraphs=packer.tables([subgraph]),
        Buffers=packer.tables(buffers),
    )
    return packer.finish(root)


def _trainable(graph: Graph) -> dict[int, int]:
    """The tensors whose bytes must be theirs alone: 0 for a weight, 1 for a bias."""
    return {
        index: kind
        for operator in graph.operators
        if operator.name in _WEIGHTED
        for kind, index in enumerate(operator.inputs[1:3])
        if index >= 0
    }


def _tensors(packer: Packer, graph: Graph, subgraph: Any) -> tuple[list[int], list[int]]:
    """The buffer tables, the first of them empty, and the tensor tables."""
    kinds = _trainable(graph)
    order = sorted(graph.tensors, key=lambda t: kinds.get(t.index, 2))
    own = {t.index: t.index if t.index in kinds else None for t in order}
    data = {
        t.index: packer.data(t.data.tobytes(), own[t.index]) for t in order if t.data is not None
    }
    scales = {
        t.index: packer.array(t.quantization.scale, own[t.index]) for t in order if t.quantization
    }
    quantizations = {
        t.index: packer.table(
            "QuantizationParameters",
            Scale=scales[t.index],
            ZeroPoint=packer.array(t.quantization.zero_point),
            QuantizedDimension=t.quantization.axis,
        )
        for t in order
        if t.quantization
    }
    vectors = sorted(set(data.values()))
    buffer_of = {vector: number for number, vector in enumerate(vectors, start=1)}
    ports = graph.inputs + graph.outputs
    tensors = [
        packer.table(
            "Tensor",
            Shape=packer.indices(t.shape),
            Type=subgraph.Tensors(t.index).Type(),
            Buffer=buffer_of[data[t.index]] if t.index in data else 0,
            Name=packer.text(t.name) if t.index in ports else 0,
            Quantization=quantizations.get(t.index, 0),
        )
        for t in graph.tensors
    ]
    empty = packer.table("Buffer")
    return [empty, *(packer.table("Buffer", Data=vector) for vector in vectors)], tensors


def _operators(packer: Packer, graph: Graph, model: Any) -> tuple[list[int], list[int]]:
    """The tables of operator codes, each once, and of operators."""
    codes: dict[int, int] = {}  # table: its number
    tables = []
    for operator in graph.operators:
        source = model.Subgraphs(0).Operators(operator.index)
        if source.IntermediatesLength() or source.BuiltinOptions2Type():
            raise unsupported(graph, operator, "its intermediate tensors or options are not known")
        code = _operator_code(packer, model.OperatorCodes(source.OpcodeIndex()))
        number = codes.setdefault(code, len(codes))
        tables.append(_operator(packer, operator, source, number))
    return list(codes), tables


def _operator_code(packer: Packer, source: Any) -> int:
    code = max(source.DeprecatedBuiltinCode(), source.BuiltinCode())
    custom = source.CustomCode() if code == schema.BuiltinOperator.CUSTOM else None
    return packer.table(
        "OperatorCode",
        DeprecatedBuiltinCode=min(code, _DEPRECATED_MOST),
        BuiltinCode=code if code > _DEPRECATED_MOST else 0,
        CustomCode=packer.text(custom.decode()) if custom else 0,
        Version=source.Version(),
    )


def _operator(packer: Packer, operator: Operator, source: Any, code: int) -> int:
    custom = source.CustomOptionsAsNumpy()
    return packer.table(
        "Operator",
        OpcodeIndex=code,
        Inputs=packer.indices(operator.inputs),
        Outputs=packer.indices(operator.outputs),
        BuiltinOptionsType=source.BuiltinOptionsType(),
        BuiltinOptions=packer.options(source.BuiltinOptionsType(), source.BuiltinOptions()),
        CustomOptions=packer.array(custom) if source.CustomOptionsLength() else 0,
    )
