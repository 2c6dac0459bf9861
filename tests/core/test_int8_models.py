"""Whole models: the released ones, the fixtures, and the public ones where they are."""

import os
import threading
from pathlib import Path as File

import numpy as np
import pytest

from benchmarks.inference import inputs_for
from core.int8 import Int8Model, Path, paths
from tflite_models.errors import ModelError

ROOT = File(__file__).parents[2]
PUBLIC = File(os.environ.get("MICROFED_MODELS", ROOT.parent / "shared" / "models"))
FILES = [*ROOT.glob("tflite_models/*/model.tflite"), *ROOT.glob("tests/fixtures/*.tflite")]
NOTHING = np.zeros((0,), np.int8)


@pytest.mark.parametrize("file", sorted(FILES), ids=lambda f: f"{f.parent.name}-{f.stem}")
def test_a_model_gives_the_oracles_bytes(file, same_as_oracle):
    data = file.read_bytes()
    same_as_oracle(data, inputs_for(Int8Model(data), NOTHING, 40))


@pytest.mark.parametrize(
    "name", ["ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8"]
)
def test_a_public_model_gives_the_oracles_bytes(name, same_as_oracle):
    file = PUBLIC / f"{name}.tflite"
    if not file.exists():
        pytest.skip(f"{file.name} is not in MICROFED_MODELS ({PUBLIC})")
    data = file.read_bytes()
    same_as_oracle(data, inputs_for(Int8Model(data), NOTHING, 4))


@pytest.fixture
def conv():
    return (ROOT / "tests/fixtures/conv.tflite").read_bytes()


def test_a_batch_gives_what_its_samples_give_one_by_one(conv):
    for path in paths():
        model = Int8Model(conv, path)
        x = inputs_for(model, NOTHING, 33)
        together = model.run(x)
        assert np.array_equal(together, np.concatenate([model.run(row[None]) for row in x]))
        assert len(np.unique(together)) > 1


def test_threads_share_a_model(conv):
    model = Int8Model(conv)
    x = inputs_for(model, NOTHING, 500)
    wanted, found = model.run(x), [None] * 4

    def work(k):
        found[k] = model.run(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(f, wanted) for f in found)


def test_no_samples_give_no_outputs(conv):
    assert Int8Model(conv).run(np.zeros((0, 8, 8, 1), np.int8)).shape == (0, 5)


def test_inputs_that_lie_apart_in_memory_are_taken_in_order(conv):
    model = Int8Model(conv)
    x = inputs_for(model, NOTHING, 20)
    assert np.array_equal(model.run(x[::2]), model.run(x[::2].copy()))


def test_an_input_of_the_wrong_shape_says_what_is_allowed(conv):
    with pytest.raises(ModelError, match=r"input: int8 \(2, 7\): int8 \(n, 8, 8, 1\) is allowed"):
        Int8Model(conv).run(np.zeros((2, 7), np.int8))


def test_the_fastest_path_is_taken_unless_told_otherwise(conv):
    assert Int8Model(conv).path is paths()[-1]
    assert Int8Model(conv, Path.PORTABLE).path is Path.PORTABLE
