"""`microfed bench firmware`: compiled models, on this machine and in QEMU."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar, Outcome, Row, measure_chosen
from benchmarks.hostile import numbers_in
from benchmarks.inference import models, oracle_outputs
from cli.output import Output
from core.int8 import Int8Model
from firmware.compiler.compile import Compiled, compile_model
from firmware.host import HostCompiler, HostModel
from firmware.qemu import MACHINES
from firmware.selftest import Tested, self_test
from tflite_models.graph import read_graph

ROOT = Path(__file__).parent.parent
HOST_INPUTS = 1_000
BOARD_INPUTS = 5
PRUNED = 0.8  # zeros, for bar 5.5
EMULATED = ROOT / "tests/firmware/emulated"

KWS, VWW, IC, AD = "kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "ad01_int8"
# most millions of instructions per inference, with TFLM and CMSIS-NN on the same machine
INSTRUCTIONS = {
    "qemu-m4": {KWS: 7.70, VWW: 12.0, IC: 29.86, AD: 0.583},
    "qemu-m3": {KWS: 10.53, VWW: 31.96, IC: 41.85, AD: 0.956},
    "qemu-m55": {KWS: 1.82, VWW: 6.56, IC: 4.91, AD: 0.150},
}
TENSOR_RAM = {KWS: 16_000, VWW: 55_296, IC: 49_152, AD: 768}
STACK = 1024


@dataclass(frozen=True)
class _Model:
    name: str
    file: bytes
    real: NDArray[np.int8]

    @property
    def compiled(self) -> Compiled:
        return _compiled(self.file, self.name)

    def inputs(self, n: int) -> NDArray[np.int8]:
        from benchmarks.inference import inputs_for

        return inputs_for(Int8Model(self.file), self.real, n)


@cache
def _compiled(file: bytes, name: str) -> Compiled:
    return compile_model(file, name)


@cache
def _models() -> dict[str, _Model]:
    return {name: _Model(name, file, real) for name, file, real in models()}


@cache
def _tested(name: str, board: str, flags: str = "-O2") -> Tested:
    model = _models()[name]
    x = model.inputs(BOARD_INPUTS)
    with tempfile.TemporaryDirectory() as folder:
        y = oracle_outputs(model.file, x)
        return self_test(MACHINES[board], model.compiled, x, y, Path(folder), flags=(flags,))


def _exact(out: Output) -> Outcome:
    """Bytes that differ from TensorFlow Lite Micro's: on the host for both paths, and in QEMU."""
    compilers = {
        "plain": HostCompiler(),
        "dsp": HostCompiler(flags=("-O2", "-D__ARM_FEATURE_DSP=1", f"-I{EMULATED}")),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        kernels = {name: c.kernels(folder / name) for name, c in compilers.items()}
        for model in _models().values():
            x = model.inputs(HOST_INPUTS)
            wanted = oracle_outputs(model.file, x)
            row: Row = {"model": model.name, "inputs": len(x)}
            for name, compiler in compilers.items():
                place = folder / model.name / name
                found = HostModel(model.compiled, place, kernels[name], compiler).run(x)
                row[name] = int((found.ravel() != wanted.ravel()).sum())
            for board in ("qemu-m3", "qemu-m4", "qemu-m7", "qemu-m55"):
                row[board] = _tested(model.name, board).differing
            rows.append(row)
            out.line(str(row))
    differing = sum(v for row in rows for k, v in row.items() if k not in ("model", "inputs"))
    claim = f"bytes that differ from TFLM, {len(rows)} models, {HOST_INPUTS:,} inputs on the host"
    return Outcome(rows, [Bar("5.1", claim, differing, "0", differing == 0)])


def _instructions(out: Output) -> Outcome:
    rows, bars = [], []
    for board, most in INSTRUCTIONS.items():
        row: Row = {"board": board}
        for name in most:
            row[name] = round(_tested(name, board).instructions / 1e6, 3)
        rows.append(row)
        out.line(str(row))
        ok = all(row[name] <= limit for name, limit in most.items())
        value = ", ".join(f"{row[name]}" for name in most)
        target = ", ".join(f"≤ {limit}" for limit in most.values())
        bars.append(Bar("5.2" + board[4:], f"M instructions on {board}", value, target, ok))
    return Outcome(rows, bars)


def _ram(out: Output) -> Outcome:
    del out
    rows: list[Row] = []
    for name, most in TENSOR_RAM.items():
        plan, tested = _models()[name].compiled.plan, _tested(name, "qemu-m4")
        rows.append(
            {"model": name, "ram": plan.size, "most": most, "bound": plan.bound,
             "stack": tested.stack}
        )  # fmt: skip
    ok = all(row["ram"] <= row["most"] and row["stack"] <= STACK for row in rows)
    value = ", ".join(f"{r['model']} {r['ram']:,} + {r['stack']} of stack" for r in rows)
    target = ", ".join(f"≤ {most:,}" for most in TENSOR_RAM.values()) + f", stack ≤ {STACK}"
    return Outcome(rows, [Bar("5.3", "bytes of tensor RAM, scratch included", value, target, ok)])


def _flash(out: Output) -> Outcome:
    del out
    kws, vww = _tested(KWS, "qemu-m4", "-Os"), _tested(VWW, "qemu-m4", "-Os")
    rows: list[Row] = [
        {"model": name, "code": t.code, "constants": _models()[name].compiled.constant_bytes,
         "image": t.flash}
        for name, t in ((KWS, kws), (VWW, vww))
    ]  # fmt: skip
    code = rows[0]["code"]
    bars = [
        Bar("5.4", "bytes of code and its tables, KWS, -Os", code, "< 10,240", code < 10_240),
        Bar("5.4v", "bytes of the whole VWW image", vww.flash, "< 122,880", vww.flash < 122_880),
    ]
    return Outcome(rows, bars)


def _sparse(out: Output) -> Outcome:
    """Models with 80 % of the weights of convolutions and dense layers set to zero."""
    rows: list[Row] = []
    for name in (KWS, IC, AD):
        dense = _models()[name]
        file = pruned(dense.file, PRUNED)
        _models()[f"{name}_80"] = _Model(f"{name}_80", file, dense.real)
        thin, thick = _models()[f"{name}_80"].compiled, dense.compiled
        row: Row = {
            "model": name,
            "bytes": prunable_bytes(thin),
            "bytes_dense": prunable_bytes(thick),
            "instructions": _tested(f"{name}_80", "qemu-m4").instructions,
            "instructions_dense": _tested(name, "qemu-m4").instructions,
            "differing": _tested(f"{name}_80", "qemu-m4").differing,
        }
        row["share"] = round(row["bytes"] / row["bytes_dense"], 3)
        rows.append(row)
        out.line(str(row))
    ok = all(
        r["share"] <= 0.45 and r["instructions"] <= r["instructions_dense"] and not r["differing"]
        for r in rows
    )
    value = ", ".join(
        f"{r['model']} {100 * r['share']:.1f} %, "
        f"{100 * r['instructions'] / r['instructions_dense']:.0f} % of the instructions"
        for r in rows
    )
    return Outcome(rows, [Bar("5.5", "80 % zeros: share of the dense weights", value,
                              "≤ 45 %, no slower", ok)])  # fmt: skip


def pruned(file: bytes, share: float) -> bytes:
    """The file with a share of its convolutions' and dense layers' weights set to zero."""
    data = bytearray(file)
    rng = np.random.default_rng(0)
    graph = read_graph(data)
    for operator in graph.operators:
        if operator.name in ("CONV_2D", "FULLY_CONNECTED"):
            weights = graph.tensors[operator.inputs[1]].data
            assert weights is not None
            weights[rng.random(weights.shape) < share] = 0
    return bytes(data)


def prunable_bytes(compiled: Compiled) -> int:
    """Bytes of weights of convolutions and dense layers, as they are stored."""
    names = {
        f"{compiled.name}_{layer.name}_weights"
        for layer in compiled.network.layers
        if layer.weights is not None and layer.call.kernel != "depthwise_conv_2d"
    }
    return sum(n for name, n in compiled.array_bytes.items() if name in names)


def _clean(out: Output) -> Outcome:
    """Every warning an error in gcc and clang; a run under both sanitizers; twice the same."""
    del out
    model = _models()[KWS]
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for program in ("cc", "clang"):
            compiler = HostCompiler(program)
            for each in _models().values():
                place = folder / program / each.name
                HostModel(each.compiled, place, compiler.kernels(folder / program), compiler)
        for path in ((), ("-D__ARM_FEATURE_DSP=1", f"-I{EMULATED}")):
            problems += sanitized(model.compiled, model.inputs(20), folder, (*flags, *path))
    again = compile_model(model.file, model.name).files
    problems += [] if again == model.compiled.files else ["two compilations differ"]
    value = "; ".join(problems) or "clean"
    claim = "warnings in gcc and clang, both sanitizers, the same C twice"
    return Outcome([], [Bar("5.6", claim, value, "clean", not problems)])


def sanitized(
    compiled: Compiled, x: NDArray[Any], folder: Path, flags: tuple[str, ...]
) -> list[str]:
    """What the sanitizers say of a program that runs the model on each input."""
    from firmware.compiler.text import array
    from firmware.selftest import kernel_sources

    for name, text in compiled.files.items():
        (folder / name).write_text(text)
    name, count = compiled.name, len(x)
    (folder / "main.c").write_text(
        f'#include <string.h>\n#include "model.h"\nstatic {array("inputs", x.astype(np.int8))}'
        f"int main(void) {{\n    for (int i = 0; i < {count}; i++) {{\n"
        f"        memcpy({name}_input(), inputs + i * {name.upper()}_INPUTS, "
        f"{name.upper()}_INPUTS);\n        {name}_run();\n    }}\n    return 0;\n}}\n"
    )
    program = folder / "sanitized"
    sources = [folder / f for f in ("main.c", "model.c", "weights.c")]
    HostCompiler(flags=flags).run(f"-I{folder}", *sources, *kernel_sources(), "-o", program)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    return [done.stderr.splitlines()[0] if done.stderr else "failed"] if done.returncode else []


def _hostile(out: Output) -> Outcome:
    """The tests' own measurement: they count what hypothesis made of files."""
    del out
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", "tests/firmware/test_damage.py",
                   f"--junit-xml={results}"]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        counted = numbers_in(results)
    count = sum(counted.values())
    ok = done.returncode == 0 and count >= 2_000
    return Outcome([], [Bar("5.7", "damaged files survived", f"{count:,}", "≥ 2,000", ok)])


MEASUREMENTS: dict[str, Callable[[Output], Outcome]] = {
    "5.1": _exact,
    "5.2": _instructions,
    "5.3": _ram,
    "5.4": _flash,
    "5.5": _sparse,
    "5.6": _clean,
    "5.7": _hostile,
}


def run(only: Sequence[str], out: Output) -> Outcome:
    """Measure the bars named in `only`, or all."""
    return measure_chosen(MEASUREMENTS, only, out)
