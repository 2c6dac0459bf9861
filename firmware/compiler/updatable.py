"""C whose constants lie in two slots of flash, so that a model update can replace them.

model.c holds no pointer to a constant: layers are put together when they run, from the slot
that `NAME_use` chose.  A slot fits a program if their layouts agree, which is a checksum of
everything that is not in the slot; so an update may change weights, biases and scales, and
nothing else.
"""

from __future__ import annotations

import re
import struct
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from firmware.compiler.text import array, declaration
from firmware.compiler.write import Writer

MAGIC = 0x5346464D  # MF_SLOT_MAGIC
Member = tuple[str, NDArray[np.generic]]


class UpdatableWriter(Writer):
    """Writes one network as C with its constants in a slot; `version` is the first one's."""

    version = 1

    def update(self, *, dsp: bool) -> bytes:
        """A slot as it lies in flash: header and constants."""
        members = self._members(dsp=dsp)
        data = b"".join(values.astype(values.dtype.newbyteorder("<")).tobytes()
                        for _, values in members)  # fmt: skip
        tail = struct.pack("<III", self._layout(members), self.version, len(data)) + data
        return struct.pack("<II", MAGIC, crc32(tail)) + tail

    def _members(self, *, dsp: bool) -> list[Member]:
        """The constants, the widest first, so that no member needs padding before it."""
        found: list[Member] = [
            (a.name, a.pairs if dsp and a.pairs is not None else a.values) for a in self._arrays()
        ]
        found.sort(key=lambda member: -member[1].itemsize)
        rest = -sum(values.nbytes for _, values in found) % 4
        return [*found, ("end", np.zeros(4 + rest, np.int8))]

    def _layout(self, members: list[Member]) -> int:
        text = "\n".join([self._run(), *(declaration(name, values) for name, values in members)])
        return crc32(text.encode())

    def _symbol(self, name: str) -> str:
        return name  # a member of the slot

    def _run(self) -> str:
        """The layers, each put together where it runs."""
        names = "|".join(a.name for a in self._arrays())
        blocks = []
        for layer, piece in zip(self._network.layers, self._pieces, strict=True):
            text = f"/* {self._describe(layer)} */\n{piece.parameters}{piece.call}"
            text = re.sub(
                rf"\b({names})\b", r"constants->\1", text.replace("static const", "const")
            )
            inner = "".join(f"        {line}\n" if line else "\n" for line in text.split("\n"))
            blocks.append(f"    {{\n{inner}    }}\n")
        return "".join(blocks)

    def _model_h(self, about: str) -> str:
        text = super()._model_h(about)
        use = (
            "/* Choose the newer of two slots that is whole and for this program; 0: neither is.\n"
            f" * Call it before {self._name}_run. */\n"
            f"int {self._name}_use(const mf_slot *a, const mf_slot *b);\n\n"
        )
        text = text.replace("/* Where the input goes.", use + "/* Where the input goes.", 1)
        return text.replace(
            "#include <stdint.h>\n", '#include <stdint.h>\n\n#include "microfed/slot.h"\n'
        )

    def _model_c(self) -> str:
        name = self._name
        text = super()._model_c()
        head, tail = text.index("/* "), text.index(f"{name}_input(void) {{")
        begin = text.rindex("\n", 0, tail) + 1
        chosen = (
            f"static const struct {name}_constants *constants;\n\n"
            f"int {name}_use(const mf_slot *a, const mf_slot *b) {{\n"
            f"    constants = mf_slot_newest(a, b, {name.upper()}_LAYOUT, sizeof *constants);\n"
            "    return constants != NULL;\n}\n\n"
        )
        text = text[:head] + chosen + text[begin:]
        run = text.index(f"void {name}_run(void) {{\n") + len(f"void {name}_run(void) {{\n")
        return text[:run] + self._run() + text[text.index("}\n\nconst", run) :]

    def _weights_h(self) -> str:
        name, guard = self._name, f"{self._name.upper()}_WEIGHTS_H"
        return (
            f"/* The constants of model.c, as they lie in a slot. */\n#ifndef {guard}\n"
            f'#define {guard}\n\n#include <stdint.h>\n\n#include "microfed/layers.h"\n'
            '#include "microfed/slot.h"\n\n'
            f"{self._only()}{self._either(self._struct(dsp=True), self._struct(dsp=False))}\n"
            f"struct {name}_slot {{\n    mf_slot header;\n    struct {name}_constants constants;\n"
            f"}};\n\nextern const struct {name}_slot {name}_slot_a; /* what was compiled in */\n\n"
            "#endif\n"
        )

    def _struct(self, *, dsp: bool) -> str:
        members = self._members(dsp=dsp)
        fields = "".join(
            f"    {declaration(name, values).removeprefix('const ')};\n" for name, values in members
        )
        layout = f"#define {self._name.upper()}_LAYOUT UINT32_C({self._layout(members)})\n"
        return f"{layout}struct {self._name}_constants {{\n{fields}}};\n"

    def _weights_c(self) -> str:
        slots = self._either(self._slot(dsp=True), self._slot(dsp=False))
        return f'#include "weights.h"\n\n{slots}'

    def _slot(self, *, dsp: bool) -> str:
        header = struct.unpack_from("<5I", self.update(dsp=dsp))
        numbers = ", ".join(f"UINT32_C({n})" for n in header)
        values = ""
        for name, data in self._members(dsp=dsp):
            body = array("", data).partition("{")[2].rstrip().removesuffix("};")
            values += f"        .{name} = {{{body}        }},\n"
        return (
            f"const struct {self._name}_slot {self._name}_slot_a = {{\n"
            f"    .header = {{{numbers}}},\n    .constants = {{\n{values}    }},\n}};\n"
        )
