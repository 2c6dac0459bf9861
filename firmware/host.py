"""A compiled model as a shared library of this machine, to run it on many inputs."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.compiler.compile import Compiled
from firmware.qemu import CORE, MATH, WARNINGS, FirmwareError, NoToolError
from firmware.selftest import kernel_sources


class HostModel:
    """Compiles the C of a model and its kernels in the folder `out`, and loads it.

    flags: added to the compiler's, to choose a path or a sanitizer.  Raises FirmwareError
    with what the compiler said.
    """

    def __init__(
        self, compiled: Compiled, out: Path, *, compiler: str = "cc", flags: Sequence[str] = ("-O2",)
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in compiled.files.items():
            (out / name).write_text(text)
        (out / "batch.c").write_text(_batch(compiled))
        library = out / "model.so"
        command = [
            *(compiler, "-std=c99", "-fPIC", "-shared", *WARNINGS, "-Werror", *MATH, *flags),
            *(f"-I{out}", f"-I{CORE / 'include'}", f"-I{CORE / 'src'}"),
            *map(str, [out / "model.c", out / "weights.c", out / "batch.c", *kernel_sources()]),
            *("-o", str(library)),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise NoToolError(f"{compiler} is not installed") from error
        if done.returncode:
            raise FirmwareError(f"{' '.join(command)}\n{done.stderr}")
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


def _batch(compiled: Compiled) -> str:
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
