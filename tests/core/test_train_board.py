"""The central claim: a microcontroller trains to the bits that the simulator has."""

import math
import shutil
import subprocess
from pathlib import Path as File

import numpy as np
import pytest

from core.train import Kind, Loss
from device_sim.lower import lower
from device_sim.native import Native
from tests.device_sim.twin.conftest import read_model
from wire.messages import Recipe

ROOT = File(__file__).parents[2]
CORE = ROOT / "firmware" / "core"
BOARD = File(__file__).parent / "board"
SEED = 77

CASES = {
    "digits": (
        ROOT / "tests" / "device_sim" / "twin" / "digits.tflite",
        Recipe(
            *(2, 5, 0.02, 0.5),  # epochs, batch, learning rate, momentum
            weight_decay=0.01,
            proximal=0.1,
            clip_norm=1.0,
            fake_quantize=1,
        ),
    ),
    "har": (ROOT / "tflite_models" / "har" / "model.tflite", Recipe(1, 4, 0.05, rotation=20.0)),
}
MACHINES = {
    "Cortex-M4F": ("mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")),
    "Cortex-M7": ("mps2-an500", ("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16")),
    "Cortex-M3 without floats": ("mps2-an385", ("-mcpu=cortex-m3",)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    file, recipe = CASES[request.param]
    model = read_model(file)
    rng = np.random.default_rng(8)
    x = rng.normal(size=(9, *model.twin.program.sample)).astype(np.float32)
    return model, recipe, x, rng.integers(0, model.twin.program.classes, 9)


def build(folder, case, *command):
    """The image of the core's training, the case, and nothing else."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    (folder / "case.h").write_text(as_c(*case))
    sources = [*(CORE / "src" / "train").glob("*.c"), *(CORE / "src" / "paths").glob("*.c")]
    image = folder / "epoch.elf"
    includes = [f"-I{folder}", f"-I{CORE / 'src'}", f"-I{CORE / 'include'}"]
    strict = ["-std=c11", "-O2", "-ffp-contract=off", "-fno-math-errno"]
    subprocess.run(
        [*command, *strict, *includes, BOARD / "epoch.c", *sources, "-lm", "-o", image], check=True
    )
    return image


def run(*command):
    """The losses and the weights that an image prints."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    ended = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    words = np.frombuffer(bytes.fromhex(ended.stdout.decode()), ">u4").astype("<u4")
    return words[:4].view("<f8"), words[4:].view("<f4")


def assert_as_simulated(case, losses, weights):
    model, recipe, x, y = case
    wanted = Native(model.graph, model.layout).train(model.weights, x, y, recipe, SEED)
    assert weights.tobytes() == wanted.weights.tobytes()
    assert losses.tolist() == [wanted.loss_before, wanted.loss_after]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_board_ends_with_the_weights_of_the_simulator_bit_for_bit(case, machine, tmp_path):
    board, flags = MACHINES[machine]
    bare = ("-mthumb", "-ffunction-sections", "-Wl,--gc-sections", "-nostartfiles")
    linked = ("-specs=nosys.specs", "-T", str(BOARD / "memory.ld"))
    image = build(tmp_path, case, "arm-none-eabi-gcc", *flags, *bare, *linked)
    quiet = ("-nographic", "-monitor", "none", "-serial", "stdio")
    exits = ("-semihosting-config", "enable=on,target=native")
    found = run("qemu-system-arm", "-M", board, *quiet, *exits, "-kernel", image)
    assert_as_simulated(case, *found)


def test_so_does_a_process_on_aarch64_with_neon(case, tmp_path):
    image = build(tmp_path, case, "aarch64-linux-gnu-gcc", "-static")
    assert_as_simulated(case, *run("qemu-aarch64", image))


def as_c(model, recipe, x, y):
    """case.h: the model as static data, as a compiler of .tflite files would write it."""
    lowered = lower(model.graph, model.layout, model.twin.program, Loss.CROSS_ENTROPY)
    tensors = ", ".join(
        f"{{{numbers(t.shape)}, {real(t.low)}, {real(t.high)}, {real(t.step)}}}"
        for t in lowered.tensors
    )
    steps = ", ".join(
        f"{{MF_{Kind(s.kind).name}, {{{s.inputs[0]}, {s.inputs[1]}}}, {s.output}, {s.weight}, "
        f"{s.bias}, {numbers(s.window)}, {{0, 0, 0}}}}"
        for s in lowered.steps
    )
    settings = ", ".join(
        str(value) if isinstance(value, int) else real(value)
        for value in (
            *(recipe.epochs, recipe.batch, recipe.learning_rate, recipe.momentum),
            *(recipe.weight_decay, recipe.proximal, recipe.clip_norm, recipe.rotation),
            recipe.fake_quantize,
        )
    )
    ends = f"{lowered.struct.input}, {lowered.struct.output}, MF_CROSS_ENTROPY"
    counts = f"{len(lowered.tensors)}, {len(lowered.steps)}, PARAMETERS"
    return f"""
#include <math.h>
#include "microfed/train.h"
enum {{ PARAMETERS = {model.layout.size}, SAMPLES = {len(x)}, SEED = {SEED} }};
static const mf_train_tensor tensors[] = {{{tensors}}};
static const mf_train_step steps[] = {{{steps}}};
static const mf_train_model model = {{tensors, steps, {counts}, {ends}}};
static const uint8_t trains[] = {{{", ".join("3" for _ in lowered.steps)}}};
static const mf_recipe recipe = {{{settings}}};
static const uint8_t mask[] = {{{", ".join(str(int(m)) for m in model.layout.mask)}}};
static const int32_t y[] = {{{", ".join(map(str, y))}}};
static const float received[] = {{{", ".join(map(real, model.weights))}}};
static const float x[] = {{{", ".join(map(real, x.ravel()))}}};
"""


def numbers(struct):
    return "{" + ", ".join(str(getattr(struct, name)) for name, _ in struct._fields_) + "}"


def real(value):
    value = float(np.float32(value))
    return f"{value.hex()}f" if math.isfinite(value) else f"{'-' * (value < 0)}INFINITY"
