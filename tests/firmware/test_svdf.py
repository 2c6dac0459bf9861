"""SVDF remembers: a run over many inputs in a row gives the oracle's bytes."""

import ctypes

import numpy as np
import pytest

from core.int8 import Int8Model
from firmware.compiler.compile import compile_model
from firmware.exports import sources
from firmware.host import HostCompiler, HostModel
from tests.core.oracle_models import Step, activation, constant, make_file
from tests.firmware.conftest import COMPILERS, some_inputs
from tflite_models.errors import UnsupportedModel
from tflite_models.inspect import summarize

RELU = 1


def network(rng, *, inputs, units, rank, memory, layers=1):
    """`layers` SVDF in a row; always with a bias: without one the oracle crashes."""
    tensors, steps = [activation((1, inputs), scale=0.05, zero=int(rng.integers(-128, 128)))], []
    for _ in range(layers):
        source, k = len(tensors) - 1, tensors[-1].shape[1]
        rows = units * rank
        zero = int(rng.integers(-128, 128))
        tensors += [
            constant(rng.integers(-127, 128, (rows, k)).astype(np.int8), scale=0.02),
            constant(rng.integers(-9999, 9999, (rows, memory)).astype(np.int16), scale=1e-4),
            constant(rng.integers(-20_000, 20_000, units).astype(np.int32), scale=1e-6),
            activation((1, rows * memory), scale=0.01, dtype="int16", variable=True),
            activation((1, units), scale=0.3 * 2.0 ** float(rng.uniform(-2, 2)), zero=zero),
        ]
        at = len(tensors)
        options = {"rank": rank, "fusedActivationFunction": RELU}
        steps.append(Step("SVDF", [source, at - 5, at - 4, at - 3, at - 2], at - 1, options))
    return make_file(tensors, steps)


@pytest.mark.parametrize("seed", range(8))
def test_outputs_over_time_are_the_oracles(seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    file = network(
        rng,
        inputs=(1, 10, 33)[seed % 3],
        units=int(rng.integers(1, 9)),
        rank=1 + seed % 2,
        memory=(1, 4, 10)[seed % 3],
        layers=1 + seed % 3,
    )
    same_as_oracle(file, np.concatenate([some_inputs(file)] * 3))


@pytest.fixture
def small():
    return network(np.random.default_rng(1), inputs=6, units=3, rank=2, memory=5)


def test_what_lasts_is_counted_beside_the_arena(small):
    compiled = compile_model(small, "kept")
    assert compiled.ram_bytes == compiled.plan.size + 2 * 3 * 2 * 5
    assert "static int16_t svdf_state[30];" in compiled.files["model.c"]


def test_an_updatable_model_remembers_too(small, tmp_path):
    for path, text in sources(compile_model(small, "kept", 1)).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    HostCompiler().run("-fsyntax-only", f"-I{tmp_path}", tmp_path / "model.c")
    assert "static int16_t svdf_state[30];" in (tmp_path / "model.c").read_text()


def test_after_a_reset_it_starts_anew(small, tmp_path, kernels):
    compiled = compile_model(small, "kept")
    model = HostModel(compiled, tmp_path, kernels["plain"], COMPILERS["plain"])
    x = some_inputs(small)
    first, second = model.run(x), model.run(x)
    assert (first != second).any()
    library = next(tmp_path.glob("*.so"))
    ctypes.CDLL(str(library)).kept_reset()
    assert (model.run(x) == first).all()


def test_a_state_is_counted_by_inspect(small):
    summary = summarize(small)
    assert summary.peak_ram == summary.memory.size + 60


@pytest.mark.parametrize("wrong", ["shared", "short", "of int8"])
def test_a_state_that_does_not_fit_is_refused(wrong):
    shape, kind = ((1, 20), "int16") if wrong == "short" else ((1, 30), "int16")
    tensors = [
        activation((1, 6)),
        constant(np.ones((6, 6), np.int8)),
        constant(np.ones((6, 5), np.int16)),
        constant(np.ones(3, np.int32)),
        activation(shape, dtype="int8" if wrong == "of int8" else kind, variable=True),
        activation((1, 3)),
        activation((1, 3)),
    ]
    steps = [Step("SVDF", [0, 1, 2, 3, 4], 5, {"rank": 2})]
    if wrong == "shared":
        steps.append(Step("SVDF", [0, 1, 2, 3, 4], 6, {"rank": 2}))
    with pytest.raises(UnsupportedModel, match=r"operator . SVDF .*state"):
        compile_model(make_file(tensors, steps), "bad")


def test_the_core_takes_one_input_at_a_time_and_says_so(small):
    with pytest.raises(UnsupportedModel, match=r"operator 0 SVDF .* only compiled C can"):
        Int8Model(small)
