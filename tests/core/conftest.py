"""Fixtures that hold the core's int8 kernels against TensorFlow Lite Micro."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.inference import oracle_outputs
from core.int8 import Int8Model, Path, paths


@pytest.fixture
def same_as_oracle() -> Callable[..., None]:
    """same_as_oracle(file, x) fails unless every path gives TFLM's bytes for inputs x (n, ...).

    Without x: both extremes and ten random inputs, of which one half is near the middle.
    """
    pytest.importorskip("tflite_micro", reason="the oracle is for Linux on x86-64")

    def compare(file, x=None):
        models = [Int8Model(file, path) for path in paths()]
        assert models[0].path is Path.PORTABLE
        if x is None:
            shape = models[0].input.shape[1:]
            rng = np.random.default_rng(5)
            wide = rng.integers(-128, 128, (5, *shape))
            near = np.clip(rng.normal(0, 20, (5, *shape)), -128, 127)
            ends = [np.full(shape, -128), np.full(shape, 127)]
            x = np.concatenate([ends, wide, near]).astype(np.int8)
        wanted = oracle_outputs(file, x)
        for model in models:
            found = model.run(x)
            assert found.shape == wanted.shape
            assert found.tobytes() == wanted.tobytes(), (
                f"{model.path.name}: {(found != wanted).sum()} of {wanted.size} differ"
            )

    return compare


@pytest.fixture
def all_codes(same_as_oracle) -> Callable[[bytes], None]:
    """all_codes(file) does the same for every code at once, of a file that takes (1, 256)."""
    return lambda file: same_as_oracle(file, np.arange(-128, 128).astype(np.int8)[None])
