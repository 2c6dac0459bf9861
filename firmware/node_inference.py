"""int8 inference of a node as C: calls of the core's kernels on the version that it holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.int8_calls import Activation, Call, Derived, Operand, Program, Real
from core.int8_lower import lower
from firmware.compiler.pieces import PARAMETERS
from firmware.compiler.text import array, value
from tflite_models.errors import ModelError
from tflite_models.graph import Graph, Tensor
from tflite_models.parameters import Layout

_ARENA_ALIGN = 8


def inference_text(graph: Graph, layout: Layout, places: Mapping[int, int]) -> str:
    """The C file that defines node_infer of made.h.

    places: where each parameter tensor of the graph begins in a body.  Raises ModelError for a
    graph that the kernels cannot run.
    """
    program = lower(graph)
    writer = _Writer(graph, layout, places, program)
    source = graph.tensors[graph.inputs[0]]
    target = graph.tensors[graph.outputs[0]]
    calls = "".join(writer.call(i, call) for i, call in enumerate(program.calls))
    first, last = (writer.arena(ends[0]) for ends in (program.inputs, program.outputs))
    return (
        "/* Made by microfed: the kernels of a model, on the version that a node holds. */\n"
        "#include <string.h>\n\n"
        '#include "microfed/int8.h"\n#include "microfed/made.h"\n#include "microfed/scaling.h"\n\n'
        f"static int8_t arena[{program.memory.size}] "
        f"__attribute__((aligned({_ARENA_ALIGN})));\n"
        f"static int32_t multipliers[{max(writer.scales, 1)}];\n"
        f"static int8_t shifts[{max(writer.scales, 1)}];\n"
        f"static const mf_scaled_layer layers[] = {{\n{''.join(writer.layers)}}};\n\n"
        f"{''.join(writer.constants)}\n"
        f"const int32_t node_inputs = {source.nbytes}, node_outputs = {target.nbytes};\n"
        f"int8_t node_input[{source.nbytes}], node_output[{target.nbytes}];\n\n"
        "void node_quantize(const float *values, int8_t *codes) {\n"
        f"    static const mf_int8_real real = {value(_real(source))};\n"
        "    mf_int8_quantize(&real, values, codes);\n}\n\n"
        "bool node_infer(const uint8_t *body, const int8_t *input, int8_t *output) {\n"
        "    static struct {\n        const uint8_t *body;\n        uint32_t head[2];\n"
        "    } ready;\n"
        "    if (ready.body != body || memcmp(ready.head, body, sizeof ready.head) != 0) {\n"
        "        if (!mf_scale_layers(layers, (int32_t)(sizeof layers / sizeof *layers), body,\n"
        "                             multipliers, shifts)) {\n            return false;\n"
        "        }\n        ready.body = body;\n"
        "        memcpy(ready.head, body, sizeof ready.head);\n    }\n"
        f"    memcpy({first}, input, {source.nbytes});\n{calls}"
        f"    memcpy(output, {last}, {target.nbytes});\n    return true;\n}}\n"
    )


class _Writer:
    """What the calls need beside them, as it turns up."""

    def __init__(
        self, graph: Graph, layout: Layout, places: Mapping[int, int], program: Program
    ) -> None:
        self._graph = graph
        self._slots = {slot.tensor: slot for slot in layout.slots}
        self._places = places
        self._offsets = {place.tensor: place.offset for place in program.memory.places}
        self.scales = 0
        self.layers: list[str] = []
        self.constants: list[str] = []

    def call(self, number: int, call: Call) -> str:
        """One call, its parameters among the constants."""
        kind = f"mf_int8_{call.kernel}"
        if call.kernel not in PARAMETERS:
            raise ModelError(f"operator {call.operator}", f"a node does not run {call.kernel}")
        struct = PARAMETERS[call.kernel]
        self.constants.append(
            f"static const {struct} call_{number} = {value(call.parameters)};\n\n"
        )
        words = [f"&call_{number}"]
        if call.filter is not None:
            words.append(self._filter(call))
        words += [self._operand(operand) for operand in call.inputs]
        if call.kernel == "lookup":
            words[1:] = reversed(words[1:])
        return f"    {kind}({', '.join([*words, self.arena(call.output)])});\n"

    def arena(self, activation: Activation) -> str:
        """Where an activation begins."""
        return f"arena + {self._offsets[activation.tensor]}"

    def _filter(self, call: Call) -> str:
        assert call.filter is not None
        weights, bias = call.filter.weights.tensor, call.filter.bias
        slot = self._slots[weights]
        count = slot.scale_stop - slot.scale_start
        operator = self._graph.operators[call.operator]
        source, target = operator.inputs[0], operator.outputs[0]
        ends = (self._graph.tensors[source], self._graph.tensors[target])
        self.layers.append(
            f"    {{{slot.scale_start}, {count}, {', '.join(map(_scale, ends))}}},\n"
        )
        at = self.scales
        self.scales += count
        added = "NULL"
        if bias is not None:
            added = f"(const int32_t *)(const void *)(body + {self._places[bias.tensor]})"
        return (
            f"&(mf_int8_filter){{(const int8_t *)body + {self._places[weights]}, {added}, "
            f"multipliers + {at}, shifts + {at}}}"
        )

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Activation):
            return self.arena(operand)
        data = operand.values if isinstance(operand, Derived) else None
        if data is None:
            data = self._graph.tensors[operand.tensor].data  # type: ignore[union-attr]
            assert data is not None
        name = f"constant_{len(self.constants)}"
        self.constants.append("static " + array(name, data.astype(np.int8)) + "\n")
        return name


def _real(tensor: Tensor) -> Real:
    assert tensor.quantization is not None
    scale, zero = tensor.quantization.scale, tensor.quantization.zero_point
    return Real(tensor.nbytes, int(zero[0]), float(scale[0]))


def _scale(tensor: Tensor) -> str:
    assert tensor.quantization is not None
    return f"{float(tensor.quantization.scale[0]).hex()}f"
