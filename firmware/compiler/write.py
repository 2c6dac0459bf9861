"""The C99 files of a compiled network: model.h, model.c, weights.h, weights.c."""

from __future__ import annotations

import numpy as np

from core.int8_calls import Conv
from firmware.compiler.network import Layer, Tensor
from firmware.compiler.pack import Layout
from firmware.compiler.pieces import C_TYPES, Array, Pieces
from firmware.compiler.text import array, by, declaration


class Writer(Pieces):
    """Writes one network as C."""

    def files(self, about: str) -> dict[str, str]:
        """The text of each file by its name; `about` goes on top of model.h."""
        return {
            "model.h": self._model_h(about),
            "model.c": self._model_c(),
            "weights.h": self._weights_h(),
            "weights.c": self._weights_c(),
        }

    def array_bytes(self, layout: Layout) -> dict[str, int]:
        """Bytes of each constant in weights.c in one layout."""
        return {a.name: a.of(layout).nbytes for a in self._arrays()}

    def _arrays(self) -> list[Array]:
        return [*self._paddings.values(), *(a for piece in self._pieces for a in piece.arrays)]

    def _model_h(self, about: str) -> str:
        name, network = self._name, self._network
        source, target = network.tensors[network.input], network.tensors[network.output]
        guard = f"{name.upper()}_MODEL_H"
        return f"""/* {about} */
#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {name.upper()}_INPUTS {_count(source)} /* {by(source.shape)} */
#define {name.upper()}_OUTPUTS {_count(target)} /* {by(target.shape)} */
#define {name.upper()}_ARENA {self._plan.size} /* bytes of RAM, scratch included */

/* Where the input goes.  Running the model overwrites it. */
{C_TYPES[source.dtype]} *{name}_input(void);

/* Compute the output from the input. */
void {name}_run(void);

/* Where the output is, until the next input is written. */
const {C_TYPES[target.dtype]} *{name}_output(void);
{self._reset_declaration()}
#ifdef __cplusplus
}}
#endif

#endif
"""

    def _model_c(self) -> str:
        name, network = self._name, self._network
        source, target = network.tensors[network.input], network.tensors[network.output]
        head = ('"model.h"', "<stddef.h>", '"microfed/int8.h"', '"microfed/layers.h"',
                '"weights.h"')  # fmt: skip
        arena = f"{name.upper()}_ARENA"
        parts = [
            "\n".join(f"#include {file}" for file in head) + "\n",
            f"static union {{\n    int64_t aligned;\n    int8_t bytes[{arena}];\n}} arena;\n",
        ]
        if self._states:
            parts[0] = parts[0].replace("<stddef.h>", "<stddef.h>\n#include <string.h>")
            parts += [f"static int16_t {s}_state[{n // 2}];\n" for s, n in self._states.items()]
        for layer, piece in zip(network.layers, self._pieces, strict=True):
            parts.append(f"/* {self._describe(layer)} */\n{piece.parameters}")
        begin = f"    return {self._cast(network.input, source.dtype)};\n"
        parts.append(f"{C_TYPES[source.dtype]} *{name}_input(void) {{\n{begin}}}\n")
        calls = "".join(f"    {_broken(piece.call)}\n" for piece in self._pieces)
        parts.append(f"void {name}_run(void) {{\n{calls}}}\n")
        parts.append(
            f"const {C_TYPES[target.dtype]} *{name}_output(void) {{\n"
            f"    return {self._cast(network.output, target.dtype)};\n}}\n"
        )
        if self._states:
            clear = "".join(f"    memset({s}_state, 0, sizeof {s}_state);\n" for s in self._states)
            parts.append(f"void {name}_reset(void) {{\n{clear}}}\n")
        return "\n".join(parts)

    @property
    def _states(self) -> dict[str, int]:
        """Bytes that last from one input to the next, by layer."""
        return {x.name: x.state_bytes for x in self._network.layers if x.state_bytes}

    def _reset_declaration(self) -> str:
        if not self._states:
            return ""
        return (
            f"\n/* Forget all inputs so far, as at the start. */\nvoid {self._name}_reset(void);\n"
        )

    def _describe(self, layer: Layer) -> str:
        tensors = self._network.tensors
        shapes = ", ".join(by(tensors[i].shape) for i in layer.reads) or "nothing"
        text = f"{shapes} → {by(tensors[layer.output].shape)}"
        p = layer.call.parameters
        if isinstance(p, Conv):
            w = p.window
            text += f", {w.kernel_height} × {w.kernel_width}, stride {w.stride_height}"
            text += f" × {w.stride_width}" if w.stride_width != w.stride_height else ""
        return text

    def _weights_h(self) -> str:
        guard = f"{self._name.upper()}_WEIGHTS_H"
        lines = []
        for a in self._arrays():
            rows = f"extern {declaration(a.name, a.values)};\n"
            if a.pairs is not None:
                rows = self._either(f"extern {declaration(a.name, a.pairs)};\n", rows)
            lines.append(rows)
        return (
            f"/* The constants of model.c. */\n#ifndef {guard}\n#define {guard}\n\n"
            '#include <stdint.h>\n\n#include "microfed/layers.h"\n\n'
            f"{self._only()}{''.join(lines)}\n#endif\n"
        )

    def _either(self, pairs: str, rows: str) -> str:
        """The text of one layout, or of both for the compiler to choose from."""
        if self._layout_only is not None:
            return pairs if self._layout_only == "pairs" else rows
        return f"#if MF_LAYERS_DSP\n{pairs}#else\n{rows}#endif\n"

    def _only(self) -> str:
        """What stops a compiler whose kernels read another layout."""
        if self._layout_only is None:
            return ""
        wrong, has = ("!", "has no") if self._layout_only == "pairs" else ("", "has the")
        text = f"these weights are for another processor: this one {has} DSP extension"
        return f'#if {wrong}MF_LAYERS_DSP\n#error "{text}"\n#endif\n\n'

    def _weights_c(self) -> str:
        parts = ['#include "weights.h"\n']
        for a in self._arrays():
            if a.pairs is None:
                parts.append(array(a.name, a.values, comment=a.comment))
                continue
            comment = f"/* {a.comment} */\n" if a.comment else ""
            parts.append(comment + self._either(array(a.name, a.pairs), array(a.name, a.values)))
        return "\n".join(parts)


def _broken(call: str) -> str:
    """A call in lines of no more than 100 characters."""
    if len(call) + 4 <= 100:
        return call
    head, _, rest = call.partition("(")
    lines, line = [], head + "("
    for part in rest.split(", "):
        if len(line) + len(part) > 92:
            lines.append(line.rstrip())
            line = " " * (len(head) + 5)
        line += part + ", "
    return "\n".join([*lines, line.removesuffix(", ")])


def _count(tensor: Tensor) -> int:
    return tensor.bytes // np.dtype(tensor.dtype).itemsize
