"""C identifiers for layers, from the names that the graph carries."""

from __future__ import annotations

import re

from core.int8_calls import Call
from tflite_models.graph import Graph

# What frameworks call the operation inside of a layer: "model/conv2d_1/Conv2D".
_OPERATIONS = frozenset(
    {
        *("Conv2D", "Conv1D", "depthwise", "MatMul", "BiasAdd", "Relu", "Relu6", "AvgPool"),
        *("MaxPool", "Mean", "Softmax", "Sigmoid", "Tanh", "add", "sub", "mul", "concat"),
        *("Pad", "Reshape", "transpose", "strided_slice"),
    }
)
_STEMS = {
    "conv_2d": "conv",
    "depthwise_conv_2d": "depthwise",
    "fully_connected": "dense",
    "average_pool_2d": "average_pool",
    "max_pool_2d": "max_pool",
}
MOST = 40  # characters of a name


class Namer:
    """Gives each call a name that no other has."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._taken: set[str] = set()

    def layer(self, call: Call) -> str:
        """The name of the layer that a call belongs to, or one after its kernel."""
        stem = _STEMS.get(call.kernel, call.kernel)
        name = next(
            (found for found in self._candidates(call) if found.startswith(stem.split("_")[0])),
            stem,
        )
        unique, count = name, 1
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        self._taken.add(unique)
        return unique

    def _candidates(self, call: Call) -> list[str]:
        operator = self._graph.operators[call.operator]
        tensors = (*operator.inputs[1:2], *operator.outputs)
        texts = [self._graph.tensors[i].name for i in tensors if i >= 0]
        paths = [path.split("/") for text in texts for path in text.split(";")]
        return [
            identifier(path[-2])
            for path in paths
            if len(path) > 1 and path[-1].rstrip("0123456789") in _OPERATIONS | {"Conv", "Relu"}
        ]


def identifier(text: str) -> str:
    """The text as a lower-case C identifier."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:MOST]
    return plain if plain[:1].isalpha() else f"m_{plain}".rstrip("_")
