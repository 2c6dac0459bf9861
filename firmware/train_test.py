"""A program that trains a model on a board as a device does, and says what came out.

What it trains is the unpruned parameters from their stored codes, in the memory that the plan
asks for; so the linker's map says how much RAM training takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.stored import Codes, StoredPlan
from core.train import F32, Model, Recipe, Status
from firmware.compiler.text import array
from firmware.compiler.training import floats_c, model_c, recipe_c
from firmware.qemu import CORE, FirmwareError, Image, Machine, build, run

SOURCES = (*sorted((CORE / "src/train").glob("*.c")), CORE / "src/paths/portable.c")

# How the program says what came out.
_REPORTS = """static void report(const char *what, uint64_t number) {
    board_write(what);
    board_write_number(number);
    board_write("\\n");
}

static void report_words(const char *what, const void *from, uint32_t words) {
    board_write(what);
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word;
        memcpy(&word, (const uint8_t *)from + 4 * i, sizeof word);
        for (int shift = 28; shift >= 0; shift -= 4) {
            board_uart_send((uint8_t)"0123456789abcdef"[(word >> shift) & 15u]);
        }
    }
    board_write("\\n");
}"""


@dataclass(frozen=True, eq=False)
class Case:
    """One local training."""

    model: Model
    trains: bytes  # as of core.train.Plan
    codes: Sequence[Codes | None]  # by step
    recipe: Recipe
    x: F32  # (samples, values)
    y: NDArray[np.int32]
    seed: int
    tile: int = 1  # samples that go through the network together


@dataclass(frozen=True, eq=False)
class TrainedOnBoard:
    """What a board's training gave, and what it took."""

    status: Status
    weights: F32  # the unpruned parameters that train
    losses: tuple[float, float]  # as received, as trained
    instructions: int  # of the whole call
    stack: int  # bytes, from main down
    image: Image

    @property
    def ram(self) -> int:
        """Bytes of RAM: weights, plan, the memory of training, the stack."""
        return self.image.ram + self.stack


def train_on_board(
    machine: Machine, case: Case, out: Path, *, flags: tuple[str, ...] = ("-O2",)
) -> TrainedOnBoard:
    """Build a training for a machine in the folder `out`, and run it.  Raises FirmwareError."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "train_test.c").write_text(program(case))
    image = build(machine, [out / "train_test.c", *SOURCES], out, flags=flags)
    ended = run(machine, image)
    numbers = dict(re.findall(r"^(\w+) (\w+)$", ended.text, re.MULTILINE))
    if "weights" not in numbers:
        raise FirmwareError(f"{image.elf} ended with {ended.code}: {ended.text!r}")

    def words(name: str) -> NDArray[np.uint32]:
        return np.frombuffer(bytes.fromhex(numbers[name]), ">u4").astype("<u4")

    before, after = words("losses").view("<f4").tolist()
    return TrainedOnBoard(
        Status(ended.code),
        words("weights").view("<f4"),
        (before, after),
        int(numbers["instructions"]),
        int(numbers["stack"]),
        image,
    )


def program(case: Case) -> str:
    """The C text of the training."""
    plan = StoredPlan(case.model, case.trains, case.codes, case.tile)
    trains = np.frombuffer(case.trains, np.uint8)
    tensors, steps = len(case.model.tensors), len(case.model.steps)
    return f"""/* Trains once and prints the bits of the losses and of the weights. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "board.h"
#include "microfed/train.h"

{model_c(case.model, case.codes)}
{recipe_c(case.recipe)}
static {array("trains", trains)}
static {array("labels", case.y.astype(np.int32))}
{floats_c("inputs", case.x)}
#define ALIGNED __attribute__((aligned(MF_ALIGN)))
static uint8_t plan_memory[MF_PLAN_BYTES({tensors}, {steps})] ALIGNED;
static uint8_t memory[{plan.memory(case.recipe, len(case.x))}] ALIGNED;
static float weights[{plan.parameters}];

{_REPORTS}

int main(void) {{
    float losses[2] = {{0}};
    const mf_samples samples = {{inputs, labels, {len(case.x)}}};
    mf_plan *plan = (mf_plan *)(void *)plan_memory;
    mf_status status = mf_plan_stored(&model, trains, stored, {case.tile}, plan_memory,
                                      sizeof plan_memory);
    const uint64_t start = board_instructions();
    if (status == MF_OK) {{
        status = mf_train_stored(plan, &recipe, &samples, {case.seed}, weights, losses, memory,
                                 sizeof memory);
    }}
    report("instructions ", board_instructions() - start);
    report("stack ", board_stack_used());
    report_words("losses ", losses, 2);
    report_words("weights ", weights, {plan.parameters});
    return (int)status;
}}
"""
