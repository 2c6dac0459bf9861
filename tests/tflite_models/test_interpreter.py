"""Running a file: batches, classes, and what cannot be run."""

import subprocess
import sys

import numpy as np
import pytest

from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.interpreter import Interpreter, quantize


def test_a_batch_gives_what_its_samples_give_one_by_one(file):
    interpreter = Interpreter(file)
    shape = interpreter._source.shape[1:]
    x = np.random.default_rng(0).integers(-128, 128, (131, *shape), dtype=np.int8)
    together = interpreter.run_int8(x)
    one_by_one = np.concatenate([interpreter.run_int8(x[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(together, one_by_one)
    assert len(np.unique(together)) > 1


def test_a_reshape_to_a_constant_batch_falls_back_to_single_samples(fixture_file):
    batched = fixture_file("conv")
    data = bytearray(batched)
    graph = read_graph(data)
    target = graph.tensors[graph.operators[3].inputs[1]]
    assert target.data.tolist() == [-1, 24]
    target.data[0] = 1
    single = Interpreter(bytes(data))
    x = np.random.default_rng(1).integers(-128, 128, (5, 8, 8, 1), dtype=np.int8)
    assert single._batch == 1
    assert Interpreter(batched)._batch > 1
    assert np.array_equal(single.run_int8(x), Interpreter(batched).run_int8(x))


def test_the_accuracy_is_the_share_of_right_classes(fixture_file):
    interpreter = Interpreter(fixture_file("dense"))
    x = np.random.default_rng(2).uniform(0, 1, (40, 6)).astype(np.float32)
    y = interpreter.predict(x)
    assert y.dtype == np.int64
    assert interpreter.accuracy(x, y) == 1.0
    y[:10] = (y[:10] + 1) % 3
    assert interpreter.accuracy(x, y) == 0.75


def test_inputs_are_rounded_half_to_even_and_clamped(fixture_file):
    graph = read_graph(fixture_file("dense"))
    to = graph.tensors[graph.inputs[0]].quantization
    zero = to.zero_point[0]
    x = np.float32([-1e9, 0, 0.5, 1.5, 1e9]) * to.scale[0]
    assert quantize(x, to).tolist() == [-128, zero, zero, zero + 2, 127]


def test_no_samples_give_no_outputs(fixture_file):
    assert Interpreter(fixture_file("dense")).run_int8(np.zeros((0, 6), np.int8)).shape == (0, 3)


def test_an_input_of_the_wrong_shape_says_what_is_allowed(fixture_file):
    with pytest.raises(ModelError, match=r"input: int8 \(2, 7\): int8 \(n, 6\) is allowed"):
        Interpreter(fixture_file("dense")).run_int8(np.zeros((2, 7), np.int8))


def test_the_keyword_model_reaches_what_its_benchmark_asks_for(public_file, keyword_inputs):
    x, y = keyword_inputs
    out = Interpreter(public_file("kws_ref_model")).run_int8(x)
    assert (out.argmax(axis=1) == y).mean() >= 0.90


def test_running_a_file_writes_nothing_to_stderr(tmp_path, fixture_file):
    path = tmp_path / "model.tflite"
    path.write_bytes(fixture_file("conv"))
    code = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from tflite_models.interpreter import Interpreter;"
        "i = Interpreter(Path(sys.argv[1]).read_bytes()); i.run_int8(np.zeros((2, 8, 8, 1), np.int8))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
