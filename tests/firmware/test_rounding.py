"""Rounded once, a compiled model gives the bytes of LiteRT's reference kernels."""

import numpy as np
import pytest

from benchmarks.inference import inputs_for, models
from core.int8 import Int8Model
from firmware.compiler.compile import compile_model
from firmware.compiler.rounding import Once, Twice
from firmware.host import HostModel
from tests.core.oracle_models import Step, activation, constant, make_file
from tests.core.test_int8_layers import filter_tensors, layer, pick, weights_and_scales
from tests.firmware.conftest import COMPILERS

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is the judge here")
NOTHING = np.zeros((0,), np.int8)


def reference_outputs(file, x):
    stock = litert.Interpreter(
        model_content=file,
        num_threads=1,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    stock.allocate_tensors()
    outputs = []
    for sample in x:
        stock.set_tensor(stock.get_input_details()[0]["index"], sample[None])
        stock.invoke()
        outputs.append(stock.get_tensor(stock.get_output_details()[0]["index"]))
    return np.concatenate(outputs)


@pytest.fixture
def same_as_reference(kernels, tmp_path):
    def compare(file, x):
        compiled = compile_model(file, "tested", single=True)
        wanted = reference_outputs(file, x)
        for name, compiler in COMPILERS.items():
            found = HostModel(compiled, tmp_path / name, kernels[name], compiler).run(x)
            assert found.tobytes() == wanted.tobytes(), (
                f"{name}: {(found.ravel() != wanted.ravel()).sum()} of {wanted.size} differ"
            )

    return compare


@pytest.mark.parametrize("seed", range(12))
def test_a_fully_connected_layer_gives_the_references_bytes(seed, same_as_reference):
    rng = np.random.default_rng(seed)
    inputs, outputs = pick(rng, 8, 13, 100, 257), pick(rng, 5, 16, 33)
    rows = 5 if seed % 3 == 2 else 1
    made = weights_and_scales(rng, (outputs, inputs), 0, inputs, wild=seed % 4 == 0)
    source, target = (((1, rows) if rows > 1 else (1,)) + (n,) for n in (inputs, outputs))
    options = {"fusedActivationFunction": seed % 4, "keepNumDims": rows > 1}
    tensors = filter_tensors(rng, *made, 0, 0.05)
    file = layer(rng, "FULLY_CONNECTED", source, target, tensors, options)
    same_as_reference(file, rng.integers(-128, 128, (40, *source[1:])).astype(np.int8))


def halves():
    """A layer whose sums are all the halves from −4 to 4."""
    bias = np.arange(-8, 9).astype(np.int32)
    tensors = [
        activation((1, 1)),
        constant(np.zeros((17, 1), np.int8), scale=0.5),
        constant(bias, scale=0.5),
        activation((1, 17)),
    ]
    return make_file(tensors, [Step("FULLY_CONNECTED", [0, 1, 2], 3)])


def test_halves_go_away_from_zero_once_and_up_twice(same_as_reference, same_as_oracle):
    x = np.zeros((1, 1), np.int8)
    assert reference_outputs(halves(), x)[0, :4].tolist() == [-4, -4, -3, -3]
    same_as_reference(halves(), x)
    same_as_oracle(halves(), x)


@pytest.mark.parametrize(("name", "file"), [model[:2] for model in models()])
def test_a_model_gives_the_references_bytes(name, file, same_as_reference):
    count = 3 if len(file) > 90_000 else 40
    same_as_reference(file, inputs_for(Int8Model(file), NOTHING, count))


def test_models_without_fully_connected_layers_are_the_same_either_way():
    bias = np.zeros(3, np.int32)
    tensors = [
        activation((1, 4, 4, 2), scale=0.05),
        constant(np.ones((3, 1, 1, 2), np.int8), scale=0.01),
        constant(bias, scale=0.0005),
        activation((1, 4, 4, 3), scale=0.1),
    ]
    file = make_file(tensors, [Step("CONV_2D", [0, 1, 2], 3, {"strideH": 1, "strideW": 1})])
    assert compile_model(file, "a", single=True).files == compile_model(file, "a").files


@pytest.mark.parametrize("seed", range(3))
def test_the_least_sum_of_a_code_has_it_and_the_one_below_has_not(seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(-255, 256)
    once = Once(2.0 ** rng.uniform(-25, 2, 50))
    twice = Twice(rng.integers(2**30, 2**31, 50), rng.integers(-20, 3, 50))
    for rounding in (once, Once(2.0 ** -np.arange(12)), twice):
        for code, least in zip(codes, rounding.least_sums(codes).T, strict=True):
            assert (rounding.codes(least) >= code).all()
            assert (rounding.codes(least - 1) < code).all()
