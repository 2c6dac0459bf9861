"""A program that runs a compiled model on recorded inputs and compares what comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.compiler.compile import Compiled
from firmware.compiler.text import array
from firmware.qemu import CORE, FirmwareError, Image, Machine, build, run

KERNELS = (*sorted((CORE / "src/layers").glob("*.c")), *sorted((CORE / "src/int8").glob("*.c")))
_HOST_ONLY = re.compile(r"check|run|x86")


@dataclass(frozen=True)
class Tested:
    """What the self-test of one model on one machine found."""

    inputs: int
    differing: int  # bytes of output
    instructions: int  # of one inference
    stack: int  # bytes, from main down
    image: Image

    @property
    def flash(self) -> int:
        """Bytes of model, kernels and start-up, without the recorded inputs and outputs."""
        return self.image.flash - self._size("selftest.o", ".text", ".data")

    @property
    def ram(self) -> int:
        """Bytes of RAM without the stack."""
        return self.image.ram

    @property
    def code(self) -> int:
        """Bytes of flash that the kernels and model.c take: code and its tables."""
        names = ("model", *(path.stem for path in kernel_sources()))
        return sum(self._size(f"-{name}.o", ".text", ".data") for name in names)

    def _size(self, file: str, *sections: str) -> int:
        sizes = self.image.sections.items()
        return sum(n for (s, f), n in sizes if s in sections and f.endswith(file))


def kernel_sources() -> list[Path]:
    """The C files that a compiled model needs; the linker drops what it does not call."""
    return [path for path in KERNELS if not _HOST_ONLY.match(path.name)]


def self_test(
    machine: Machine,
    compiled: Compiled,
    inputs: NDArray[Any],
    outputs: NDArray[Any],
    out: Path,
    *,
    flags: tuple[str, ...] = ("-O2",),
) -> Tested:
    """Build a model for a machine in the folder `out`, run it on each input, count.

    inputs: (n, *input) and outputs: (n, *output), in the model's types.  Raises FirmwareError.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, text in compiled.files.items():
        (out / name).write_text(text)
    (out / "selftest.c").write_text(program(compiled, inputs, outputs))
    sources = [out / "model.c", out / "weights.c", out / "selftest.c", *kernel_sources()]
    image = build(machine, sources, out, flags=flags)
    ended = run(machine, image)
    numbers = dict(re.findall(r"^(\w+) (\d+)$", ended.text, re.MULTILINE))
    if ended.code not in (0, 1) or "stack" not in numbers:
        raise FirmwareError(f"{image.elf} ended with {ended.code}: {ended.text!r}")
    return Tested(
        len(inputs),
        int(numbers["differing"]),
        int(numbers["instructions"]),
        int(numbers["stack"]),
        image,
    )


def _bytes(values: NDArray[Any]) -> NDArray[np.int8]:
    return np.ascontiguousarray(values).view(np.int8)


def program(compiled: Compiled, inputs: NDArray[Any], outputs: NDArray[Any]) -> str:
    """The C text of the self-test."""
    name, tensors = compiled.name, compiled.network.tensors
    source, target = tensors[compiled.network.input].bytes, tensors[compiled.network.output].bytes
    return f"""/* Runs {name} on recorded inputs and compares the outputs. */
#include <string.h>

#include "board.h"
#include "model.h"

#define COUNT {len(inputs)}

static {array("inputs", _bytes(inputs))}
static {array("outputs", _bytes(outputs))}
static void report(const char *what, uint64_t number) {{
    board_write(what);
    board_write_number(number);
    board_write("\\n");
}}

int main(void) {{
    uint32_t differing = 0;
    uint64_t instructions = 0;
    for (int32_t i = 0; i < COUNT; i++) {{
        memcpy({name}_input(), inputs + i * {source}, {source});
        uint64_t start = board_instructions();
        {name}_run();
        instructions += board_instructions() - start;
        const int8_t *found = (const void *){name}_output();
        for (int32_t k = 0; k < {target}; k++) {{
            differing += found[k] != outputs[i * {target} + k];
        }}
    }}
    report("differing ", differing);
    report("instructions ", instructions / COUNT);
    report("stack ", board_stack_used());
    return differing != 0;
}}
"""
