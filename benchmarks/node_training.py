"""Bars 6.3 and 6.4: what training takes on a Cortex-M4F, counted in QEMU.

Instructions are those of a whole local training, the losses before and after included; RAM is
everything that the linker's map counts and the stack.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np

from benchmarks import choices_plot
from benchmarks.bars import Bar, Outcome, Row
from benchmarks.command import microfed
from benchmarks.plots import save
from cli.output import Output
from core.stored import Codes, StoredPlan, codes_of
from core.train import Kind, Loss, Model, Recipe, Shape, Step, Tensor
from device_sim.lower import lower
from device_sim.memory import SAMPLES, choices
from device_sim.twin.program import compile_graph
from firmware.qemu import MACHINES
from firmware.train_test import Case, TrainedOnBoard, train_on_board
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of

ROOT = Path(__file__).parents[1]
HAR = ROOT / "tflite_models/har/model.tflite"
ROUNDS = 10  # of every choice
MACHINE = "qemu-m4"
KB = 1024
BATCH = 8
EVERYTHING = 3
# AIfES 2.2 on the same machine: instructions per sample, and bytes of RAM
RIVAL: dict[tuple[int, ...], tuple[int, int]] = {
    (64, 32, 10): (117_700, 18_500),
    (64, 12): (39_000, 18_500),
}
GOAL = 3  # times fewer
HAR_RECIPE = Recipe(2, 32, 0.006, 0.9, rotation=20.0)  # of examples/har.toml


def dense_case(widths: Sequence[int], *, samples: int = 32, epochs: int = 2) -> Case:
    """A dense network without zeros, ReLU between its layers, and plain descent by batches."""
    rng = np.random.default_rng(0)
    tensors = [
        Tensor(Shape(1, 1, n), 0.0 if 0 < i < len(widths) - 1 else -inf, inf, 0.0)
        for i, n in enumerate(widths)
    ]
    steps: list[Step] = []
    codes: list[Codes] = []
    at = 0
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        steps.append(Step(Kind.DENSE, (i, 0), i + 1, at, at + inputs * outputs))
        at += (inputs + 1) * outputs
        weights = rng.integers(-127, 128, inputs * outputs).astype(np.int8)
        bias = rng.integers(-99, 100, outputs).astype(np.int32)
        codes.append(Codes(weights, bias, np.array([0.002], np.float32), None, 0.01))
    model = Model(tensors, steps, at, (0, len(widths) - 1))
    x = rng.random((samples, widths[0]), np.float32)
    y = rng.integers(0, widths[-1], samples).astype(np.int32)
    trains = bytes([EVERYTHING]) * len(steps)
    return Case(model, trains, codes, Recipe(epochs, BATCH, 0.1), x, y, 1, tile=BATCH)


def is_as_simulated(case: Case, found: TrainedOnBoard) -> bool:
    """Whether weights and losses are this machine's, to the bit."""
    plan = StoredPlan(case.model, case.trains, case.codes)
    weights, *losses = plan.train(case.recipe, case.x, case.y, case.seed)
    return weights.tobytes() == found.weights.tobytes() and losses == list(found.losses)


def per_sample(case: Case, found: TrainedOnBoard) -> int:
    """Instructions for each sample of each epoch."""
    return round(found.instructions / (len(case.x) * int(case.recipe.epochs)))


def measure_dense(out: Output) -> Outcome:
    """Bar 6.3: the dense network, and a head alone."""
    rows: list[Row] = []
    bars: list[Bar] = []
    for widths, (instructions, ram) in RIVAL.items():
        case = dense_case(widths)
        with tempfile.TemporaryDirectory() as folder:
            found = train_on_board(MACHINES[MACHINE], case, Path(folder))
        taken = per_sample(case, found)
        name = "-".join(map(str, widths))
        rows.append({"network": name, "instructions": taken, "ram": found.ram,
                     "stack": found.stack, "same_bits": is_as_simulated(case, found)})  # fmt: skip
        out.line(str(rows[-1]))
        value = f"{taken:,} ({instructions / taken:.1f} times fewer), {found.ram:,} B"
        target = f"< {instructions:,}, < {ram:,} B; goal {instructions // GOAL:,}"
        ok = taken < instructions and found.ram < ram and rows[-1]["same_bits"]
        claim = f"instructions per sample and RAM, {name}, batch {BATCH}, Cortex-M4F"
        bars.append(Bar("6.3" if len(widths) > 2 else "6.3h", claim, value, target, ok))
    return Outcome(rows, bars)


def har_case(samples: int, recipe: Recipe = HAR_RECIPE) -> Case:
    """The whole network, on values as a gyroscope and an accelerometer give them."""
    graph = read_graph(HAR.read_bytes())
    layout = layout_of(graph)
    program = compile_graph(graph, layout)
    model = lower(graph, layout, program, Loss.CROSS_ENTROPY)
    codes = codes_of(model, layout, weights_of(graph, layout))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, *program.sample)).astype(np.float32)
    y = rng.integers(0, program.classes, samples).astype(np.int32)
    trains = bytes([EVERYTHING]) * len(model.steps)
    return Case(model, trains, codes, recipe, x.reshape(samples, -1), y, 1)


def measure_har(out: Output) -> Outcome:
    """Bar 6.4: har whole, and what less than that takes and gives."""
    case = har_case(SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        found = train_on_board(MACHINES[MACHINE], case, Path(folder))
    same = is_as_simulated(case, found)
    whole: Row = {"network": "har", "instructions": per_sample(case, found), "ram": found.ram,
                  "stack": found.stack, "same_bits": same}  # fmt: skip
    out.line(str(whole))
    most = 128 * KB
    claim = f"bytes of RAM to train har whole, {SAMPLES} samples, Cortex-M4F"
    ok = found.ram < most and same
    bar = Bar("6.4", claim, f"{found.ram:,}", f"< {most:,}", ok)
    return Outcome([whole, *_choices(out)], [bar])


def _choices(out: Output) -> list[Row]:
    """RAM of every choice, and the accuracy after ROUNDS rounds of it; the plot node-choices."""
    graph = read_graph(HAR.read_bytes())
    rows: list[Row] = []
    start = 0.0
    for choice in choices(graph, layout_of(graph)):
        taught = _taught(choice.name)
        start = taught["accuracy_int8_start"]
        rows.append({"trains": choice.name, "parameters": choice.parameters, "ram": choice.bytes,
                     "accuracy": taught["accuracy_int8_end"], "bytes_up": taught["bytes_up"],
                     "rounds": ROUNDS})  # fmt: skip
        out.line(str(rows[-1]))
    save(choices_plot.draw(rows, start), "node-choices")
    return rows


def _taught(choice: str) -> Row:
    settings = (f"federated.train={choice}", f"federated.rounds={ROUNDS}", "fleet.transport=memory")
    with tempfile.TemporaryDirectory(prefix="microfed-bench-") as folder:
        return microfed(
            *("run", str(ROOT / "examples/har.toml"), "--model", str(HAR)),
            *(word for setting in settings for word in ("--set", setting)),
            *("--out", f"{folder}/run"),
        )
