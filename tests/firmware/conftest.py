"""Fixtures that hold compiled models against TensorFlow Lite Micro."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.inference import oracle_outputs
from firmware.compiler.compile import compile_model
from firmware.host import HostCompiler, HostModel
from tflite_models.graph import read_graph

EMULATED = Path(__file__).parent / "emulated"
COMPILERS = {
    "plain": HostCompiler(),
    "dsp": HostCompiler(flags=("-O1", "-D__ARM_FEATURE_DSP=1", f"-I{EMULATED}")),
}


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The kernels of each path that runs here, compiled once."""
    folder = tmp_path_factory.mktemp("kernels")
    return {name: compiler.kernels(folder / name) for name, compiler in COMPILERS.items()}


@pytest.fixture
def run_compiled(kernels, tmp_path):
    """run_compiled(file, x): for each path, what the compiled model gives for inputs x."""

    def run(file, x):
        compiled = compile_model(file, "tested")
        return {
            name: HostModel(compiled, tmp_path / name, kernels[name], compiler).run(x)
            for name, compiler in COMPILERS.items()
        }

    return run


@pytest.fixture
def same_as_oracle(run_compiled):
    """same_as_oracle(file, x) fails unless the compiled C gives TFLM's bytes for inputs x.

    Without x: both extremes and ten random inputs, of which one half is near the middle.
    """
    pytest.importorskip("tflite_micro", reason="the oracle is for Linux on x86-64")

    def compare(file, x=None):
        if x is None:
            x = some_inputs(file)
        wanted = oracle_outputs(file, x)
        for path, found in run_compiled(file, x).items():
            assert found.tobytes() == wanted.tobytes(), (
                f"{path}: {(found.ravel() != wanted.ravel()).sum()} of {wanted.size} differ"
            )

    return compare


def some_inputs(file):
    """Both extremes and ten random inputs, of which one half is near the middle."""
    graph = read_graph(file)
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    rng = np.random.default_rng(5)
    wide = rng.integers(-128, 128, (5, *shape))
    near = np.clip(rng.normal(0, 20, (5, *shape)), -128, 127)
    ends = [np.full(shape, -128), np.full(shape, 127)]
    return np.concatenate([ends, wide, near]).astype(np.int8)


@pytest.fixture
def all_codes(same_as_oracle):
    """all_codes(file) does the same for every code at once, of a file that takes (1, 256)."""
    return lambda file: same_as_oracle(file, np.arange(-128, 128).astype(np.int8)[None])
