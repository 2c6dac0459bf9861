"""A compiled model as a shared library of this machine, to run it on many inputs."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from firmware.compiler.compile import Compiled
from firmware.qemu import CORE, MATH, WARNINGS, FirmwareError, NoToolError
from firmware.selftest import kernel_sources


@dataclass(frozen=True)
class HostCompiler:
    """A compiler of this machine; flags choose a path of the kernels or a sanitizer."""

    program: str = "cc"
    flags: tuple[str, ...] = ("-O2",)

    def kernels(self, out: Path) -> Path:
        """The kernels, compiled to one object file in the folder `out`; raises FirmwareError."""
        out.mkdir(parents=True, exist_ok=True)
        objects = [out / f"{path.parent.name}-{path.stem}.o" for path in kernel_sources()]
        for source, made in zip(kernel_sources(), objects, strict=True):
            self.run("-c", source, "-o", made)
        together = out / "kernels.o"
        self.run("-r", "-nostdlib", *objects, "-o", together)
        return together

    def run(self, *arguments: str | Path) -> None:
        """Call the compiler with every warning an error."""
        command = [
            *(self.program, "-std=c99", "-fPIC", *WARNINGS, "-Werror", *MATH, *self.flags),
            *(f"-I{CORE / 'include'}", f"-I{CORE / 'src'}", *map(str, arguments)),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise NoToolError(f"{self.program} is not installed") from error
        if done.returncode:
            raise FirmwareError(f"{' '.join(command)}\n{done.stderr}")


class HostModel:
    """Compiles the C of a model in the folder `out`, links it with `kernels`, and loads it."""

    def __init__(
        self, compiled: Compiled, out: Path, kernels: Path, compiler: HostCompiler
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in (*compiled.files.items(), ("batch.c", batch(compiled))):
            (out / name).write_text(text)
        # a name of its own: of two libraries of one name the loader gives the first
        text = "".join(compiled.files.values())
        library = out / f"model-{crc32(text.encode()):08x}.so"
        files = [out / name for name in ("model.c", "weights.c", "batch.c")]
        compiler.run("-shared", f"-I{out}", *files, kernels, "-o", library)
        self._run = ctypes.CDLL(str(library)).run_batch
        self._run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
        network = compiled.network
        self._input, self._output = network.tensors[network.input], network.tensors[network.output]

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """The outputs (n, *output) of inputs (n, *input), both in the model's types."""
        x = np.ascontiguousarray(x, np.dtype(self._input.dtype))
        y = np.empty((len(x), *self._output.shape), np.dtype(self._output.dtype))
        self._run(x.ctypes.data, y.ctypes.data, len(x))
        return y


def batch(compiled: Compiled) -> str:
    """The C text of run_batch, which runs a model on inputs that lie one behind the other."""
    name, network = compiled.name, compiled.network
    source, target = network.tensors[network.input].bytes, network.tensors[network.output].bytes
    return f"""#include <string.h>

#include "model.h"

void run_batch(const char *inputs, char *outputs, int32_t count);

void run_batch(const char *inputs, char *outputs, int32_t count) {{
    for (int32_t i = 0; i < count; i++) {{
        memcpy({name}_input(), inputs + (int64_t)i * {source}, {source});
        {name}_run();
        memcpy(outputs + (int64_t)i * {target}, {name}_output(), {target});
    }}
}}
"""
