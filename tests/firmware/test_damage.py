"""Damaged files: C that stays inside its memory, or a ModelError that says where."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.firmware import sanitized
from firmware.compiler.compile import compile_model
from tests.conftest import ROOT
from tests.tflite_models.test_damage import damage, mutation
from tflite_models.errors import ModelError

FILES = {
    "conv": ROOT / "tests/fixtures/conv.tflite",
    "depthwise": ROOT / "tests/fixtures/depthwise.tflite",
    "dense": ROOT / "tests/fixtures/dense.tflite",
    "har": ROOT / "tflite_models/har/model.tflite",
}
EXAMPLES = 550
counted = dict.fromkeys(FILES, 0)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(change=mutation)
def test_a_damaged_file_compiles_or_is_refused(name, change):
    counted[name] += 1
    file = damage(FILES[name].read_bytes(), *change)
    try:
        compiled = compile_model(file, "damaged")
    except ModelError:
        return
    assert compiled.files["model.c"]


def test_enough_files_were_damaged(record_property):
    for name, count in counted.items():
        record_property(name, count)
    assert sum(counted.values()) >= 2_000


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_what_compiles_of_damaged_files_stays_inside_its_memory(name, tmp_path):
    rng = np.random.default_rng(3)
    file, ran = FILES[name].read_bytes(), 0
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    while ran < 4:
        change = ("byte", int(rng.integers(len(file))), int(rng.integers(256)))
        try:
            compiled = compile_model(damage(file, *change), "damaged")
        except ModelError:
            continue
        source = compiled.network.tensors[compiled.network.input]
        if source.dtype != "int8" or source.bytes > 100_000:
            continue
        x = rng.integers(-128, 128, (2, source.bytes)).astype(np.int8)
        assert sanitized(compiled, x, tmp_path, flags) == [], change
        ran += 1
