"""The central claim: a microcontroller trains to the bits that the simulator has."""

import math
import shutil
import subprocess
from pathlib import Path as File

import numpy as np
import pytest

from core.train import Kind, Loss, Status
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


def build(folder, case, *command, optimized="-O2"):
    """The image of the core's training, the case as C, and nothing else."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    (folder / "case.h").write_text(case)
    sources = [*(CORE / "src" / "train").glob("*.c"), *(CORE / "src" / "paths").glob("*.c")]
    image = folder / "epoch.elf"
    includes = [f"-I{folder}", f"-I{CORE / 'src'}", f"-I{CORE / 'include'}"]
    strict = ["-std=c11", optimized, "-ffp-contract=off", "-fno-math-errno"]
    subprocess.run(
        [*command, *strict, *includes, BOARD / "epoch.c", *sources, "-lm", "-o", image], check=True
    )
    return image


def build_for(machine, folder, case, **how):
    """The same for a microcontroller without anything else."""
    _, flags = MACHINES[machine]
    bare = ("-mthumb", "-ffunction-sections", "-Wl,--gc-sections", "-nostartfiles")
    linked = ("-specs=nosys.specs", "-T", str(BOARD / "memory.ld"))
    return build(folder, case, "arm-none-eabi-gcc", *flags, *bare, *linked, **how)


def on_board(machine, image):
    """The command that runs an image."""
    quiet = ("-nographic", "-monitor", "none", "-serial", "stdio")
    exits = ("-semihosting-config", "enable=on,target=native")
    return "qemu-system-arm", "-M", MACHINES[machine][0], *quiet, *exits, "-kernel", image


def ended(*command):
    """How an image ended, and what it printed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    return subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, timeout=200, check=False
    )


def run(*command):
    """The losses and the weights that an image prints."""
    done = ended(*command)
    assert done.returncode == 0, done.stderr.decode()
    words = np.frombuffer(bytes.fromhex(done.stdout.decode()), ">u4").astype("<u4")
    return words[:2].view("<f4"), words[2:].view("<f4")


def assert_as_simulated(case, losses, weights):
    model, recipe, x, y = case
    wanted = Native(model.graph, model.layout).train(model.weights, x, y, recipe, SEED)
    assert weights.tobytes() == wanted.weights.tobytes()
    assert losses.tolist() == [wanted.loss_before, wanted.loss_after]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_board_ends_with_the_weights_of_the_simulator_bit_for_bit(case, machine, tmp_path):
    image = build_for(machine, tmp_path, as_c(*case))
    assert_as_simulated(case, *run(*on_board(machine, image)))


def test_so_does_one_whose_code_is_to_be_small(case, tmp_path):
    image = build_for("Cortex-M4F", tmp_path, as_c(*case), optimized="-Os")
    assert_as_simulated(case, *run(*on_board("Cortex-M4F", image)))


def test_so_does_a_process_on_aarch64_with_neon(case, tmp_path):
    image = build(tmp_path, as_c(*case), "aarch64-linux-gnu-gcc", "-static", "-DTILE=9")
    assert_as_simulated(case, *run("qemu-aarch64", image))


def test_activations_of_4_gb_do_not_wrap_to_what_a_board_has(tmp_path):
    """Eight tensors of 2^27 floats at once: 2^32 bytes, which size_t there takes for none."""
    copies = [f"{{MF_COPY, {{0, 0}}, {i}, -1, -1}}" for i in range(1, 8)]
    firsts = (1, *range(8, 13))
    sums = [f"{{MF_ADD, {{{firsts[i]}, {i + 2}}}, {i + 8}, -1, -1}}" for i in range(6)]
    tensor = "{{1, 1 << 14, 1 << 13}, -INFINITY, INFINITY, 0}"
    case = f"""
#include <math.h>
#include "microfed/train.h"
enum {{ PARAMETERS = 1, SAMPLES = 1, SEED = 1 }};
static const mf_train_tensor tensors[] = {{{", ".join([tensor] * 14)}}};
static const mf_train_step steps[] = {{{", ".join(copies + sums)}}};
static const mf_train_model model = {{tensors, steps, 14, 13, PARAMETERS, 0, 13, MF_CROSS_ENTROPY}};
static const uint8_t trains[13], mask[PARAMETERS];
static const float received[PARAMETERS], x[SAMPLES];
static const int32_t y[SAMPLES];
static const mf_recipe recipe = {{1, 1, 0.1f, 0, 0, 0, 0, 0, 0}};
"""
    machine = "Cortex-M3 without floats"
    done = ended(*on_board(machine, build_for(machine, tmp_path, case)))
    assert done.returncode == Status.NO_MEMORY, done.stderr.decode()
    assert done.stdout == b""


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
