"""int8 inference beside TensorFlow Lite Micro (the same bytes?) and LiteRT (how fast?)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar, Outcome, Row
from core.int8 import Int8Model

ROOT = Path(__file__).parents[1]
INPUTS = 1000
SMALL = 100_000  # bytes: the speed bar is about models below
BLOCK = 100  # inputs that one runtime takes before it is the other's turn
PASSES = 8  # over all inputs; the fastest block counts
ARENA = 1 << 20

I8 = NDArray[np.int8]


def oracle_outputs(file: bytes, x: NDArray[Any]) -> NDArray[Any]:
    """What TensorFlow Lite Micro's reference kernels give for each input (n, *input).

    Needs the package tflite-micro, of the extra `dev`.
    """
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(file, arena_size=ARENA)
    outputs = []
    for sample in x:
        interpreter.set_input(sample[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0))
    return np.concatenate(outputs)


def inputs_for(model: Int8Model, real: I8, n: int = INPUTS) -> I8:
    """The n inputs of a comparison: both extremes, real ones, the rest random."""
    shape = model.input.shape[1:]
    x = np.random.default_rng(7).integers(-128, 128, (n, *shape), dtype=np.int8)
    x[0], x[1] = -128, 127
    count = min(len(real), n // 2)
    x[2 : 2 + count] = real[:count].reshape(-1, *shape)
    return x


def differing_bytes(file: bytes, real: I8, n: int = INPUTS) -> int:
    """Bytes of output in which the core and the oracle differ, over n inputs."""
    model = Int8Model(file)
    x = inputs_for(model, real, n)
    return int((model.run(x) != oracle_outputs(file, x)).sum())


def speeds(file: bytes) -> tuple[float, float]:
    """Seconds per inference of the core and of LiteRT, alternating in one process.

    The core takes a block of samples in one call.  LiteRT runs the file as it is, on one
    thread and with its default delegate, and is charged for `invoke` alone: its input
    stands, and nobody fetches its output.  Of each runtime the fastest block counts, so
    that what else the machine does weighs on neither.
    """
    from ai_edge_litert.interpreter import Interpreter

    model = Int8Model(file)
    stock = Interpreter(model_content=file, num_threads=1)
    stock.allocate_tensors()
    x = inputs_for(model, np.zeros((0,), np.int8))

    def one_by_one(block: I8) -> None:
        stock.set_tensor(model.input.index, block[:1])
        for _ in block:
            stock.invoke()

    runners: tuple[Callable[[I8], object], ...] = (model.run, one_by_one)
    best = [float("inf"), float("inf")]
    for _ in range(PASSES):
        for start in range(0, len(x), BLOCK):
            block = x[start : start + BLOCK]
            for k, run in enumerate(runners):
                began = time.perf_counter()
                run(block)
                best[k] = min(best[k], (time.perf_counter() - began) / len(block))
    return best[0], best[1]


def int8_bars() -> Outcome:
    """Bar 3.7: the oracle's bytes on every model, and faster than LiteRT on the small ones."""
    rows: list[Row] = []
    for name, file, real in models():
        ours, stock = speeds(file)
        rows.append(
            {
                "model": name,
                "bytes": len(file),
                "differing": differing_bytes(file, real),
                "core_us": round(ours * 1e6, 2),
                "litert_us": round(stock * 1e6, 2),
                "ratio": round(stock / ours, 3),
            }
        )
    differing = sum(row["differing"] for row in rows)
    slowest = min((row["ratio"] for row in rows if row["bytes"] < SMALL), default=0.0)
    return Outcome(
        rows,
        [
            Bar(
                "3.7",
                f"int8 inference is the oracle's on {len(rows)} models, {INPUTS} inputs each",
                differing,
                "0 bytes differ",
                differing == 0,
            ),
            Bar(
                "3.7",
                "int8 inference is faster than LiteRT, one thread, on models under 100 KB",
                slowest,
                "> 1 ×",
                slowest > 1,
            ),
        ],
    )


def models() -> Iterator[tuple[str, bytes, I8]]:
    """Name, file and real inputs (n, ...) of every released and every public model."""
    public = Path(os.environ.get("MICROFED_MODELS", ROOT.parent / "shared" / "models"))
    paths = [*ROOT.glob("tflite_models/*/model.tflite"), *public.glob("*.tflite")]
    for path in sorted(paths):
        name = path.parent.name if path.name == "model.tflite" else path.stem
        yield name, path.read_bytes(), _real(name)


def _real(name: str) -> I8:
    """Inputs as the model meets them, where there is data for it."""
    data = Path(os.environ.get("MICROFED_DATA", ROOT.parent / "shared" / "data")) / "kws01.npz"
    if name != "kws_ref_model" or not data.exists():
        return np.zeros((0,), np.int8)
    with np.load(data) as arrays:
        return np.asarray(arrays["x"], np.int8)
