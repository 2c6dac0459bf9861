"""Bars 3.1 and 3.4: the core computes what TensorFlow computes, and much faster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar, Outcome, Row
from tflite_models.graph import Graph, read_graph
from tflite_models.parameters import Layout, layout_of, to_float, weights_of
from wire.messages import Recipe

MODELS = Path(__file__).parent.parent / "tflite_models"
SAMPLES, BATCH = 352, 16
REPEATS = 7
F32 = NDArray[np.float32]
SQUARE = np.random.default_rng(1).random((1024, 1024), np.float32)
BLAS_OPERATIONS = 2.0 * 1024**3


def core_bars() -> Outcome:
    """Measure both; needs TensorFlow, and one processor that nobody else uses."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _one_core():  # first: threads that TensorFlow starts stay where it is then
        speed = epoch()
    return gradients() + speed


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def gradients() -> Outcome:
    """3.1: the gradients of every operator, and a whole local epoch of every released model."""
    from benchmarks.gradients import CASES, relative_error

    worst: dict[str, float] = {}
    for case in CASES:
        error = relative_error(case, seed=1)
        worst[case.kind.name] = max(worst.get(case.kind.name, 0.0), error)
    rows: list[Row] = [{"operator": name, "error": error} for name, error in worst.items()]
    epochs = {file.parent.name: _beside_twin(file) for file in MODELS.glob("*/model.tflite")}
    rows += [{"epoch": name, "error": error} for name, error in epochs.items()]
    most, far = max(worst.values()), max(epochs.values())
    claim = (
        f"gradients of {len(CASES)} operators; epochs of {len(epochs)} models, median of 5 orders"
    )
    value = f"within {most:.1e} of TensorFlow's; {far:.1e} of the twin's"
    ok = most <= 1e-5 and far <= 1e-4
    return Outcome(rows, [Bar("3.1", claim, value, "≤ 1e-5; ≤ 1e-4", ok)])


def _read(file: Path) -> tuple[Graph, Layout, F32]:
    graph = read_graph(file.read_bytes())
    layout = layout_of(graph)
    return graph, layout, to_float(layout, weights_of(graph, layout))


def _data(sample: tuple[int, ...], classes: int) -> tuple[F32, NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SAMPLES, *sample)).astype(np.float32)
    return x, rng.integers(0, classes, SAMPLES)


def _beside_twin(file: Path) -> float:
    """How far the core's epoch ends from the twin's, relative to how far that went.

    The median of five orders of the samples: where rounding tips a ReLU over, as in one
    epoch of a few, both go on from different weights, and neither is wrong.
    """
    from device_sim.native import Native
    from device_sim.twin import Twin

    graph, layout, weights = _read(file)
    twin, core = Twin(graph, layout), Native(graph, layout)
    x, y = _data(twin.program.sample, twin.program.classes)
    recipe = Recipe(1, BATCH, 0.01)
    errors = []
    for seed in range(1, 6):
        wanted, found = (t.train(weights, x, y, recipe, seed).weights for t in (twin, core))
        errors.append(np.linalg.norm(found - wanted) / np.linalg.norm(wanted - weights))
    return float(np.median(errors))


def epoch() -> Outcome:
    """3.4: one local epoch of the har network on one core, four ways."""
    from core.train import best_path
    from device_sim.native import Native

    file = MODELS / "har" / "model.tflite"
    graph, layout, weights = _read(file)
    native = Native(graph, layout)
    x, y = _data(native.program.sample, native.program.classes)
    fit, loop = _keras(graph, x, y)
    work = 2.0 * _macs(file) * SAMPLES

    def train(epochs: int) -> Callable[[], object]:
        recipe = Recipe(epochs, BATCH, 0.01)
        return lambda: native.train(weights, x, y, recipe, seed=1)

    whole, nine, keras, compiled, blas = _fastest(train(1), train(9), fit, loop, _blas)
    # `train` also measures the loss before and after, which neither of the others does.
    ours = (nine - whole) / 8
    peak, rate = BLAS_OPERATIONS / blas, work / ours
    row: Row = {
        "path": best_path().name,
        "milliseconds": 1e3 * ours,
        "milliseconds_with_losses": 1e3 * whole,
        "milliseconds_keras_fit": 1e3 * keras,
        "milliseconds_tf_function": 1e3 * compiled,
        "gflops": rate / 1e9,
        "gflops_blas": peak / 1e9,
        "operations": work,
    }
    value = (
        f"{1e3 * ours:.1f} ms: {keras / ours:.0f} × Keras fit, {compiled / ours:.1f} × "
        f"tf.function, {100 * rate / peak:.0f} % of BLAS with what is skipped counted"
    )
    ok = keras >= 10 * ours and compiled >= 3 * ours and rate >= 0.4 * peak
    bar = Bar("3.4", "local epoch of har, one core", value, "≥ 10 ×, ≥ 3 ×, ≥ 40 %", ok)
    return Outcome([row], [bar])


def _fastest(*runs: Callable[[], object]) -> list[float]:
    """Seconds that each takes at its quickest.

    They take turns, so that whatever else the machine does slows all of them.
    """
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(REPEATS):
        for run, found in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def _macs(file: Path) -> int:
    """Multiply-accumulates of one sample's forward and backward pass, as if all were dense.

    The gradient by the weights takes as many as the forward pass, and so does that by the
    input, which the first layer does not need.  The core skips pruned weights and gradients that
    are zero: it does this work, and not all of these operations.
    """
    from tflite_models.inspect import summarize

    forward = [o.macs for o in summarize(file.read_bytes()).operators if o.macs]
    return 3 * sum(forward) - forward[0]


def _blas() -> object:
    """NumPy's product of two large float32 matrices on one thread."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, "blas"):
        return SQUARE @ SQUARE


def _keras(
    graph: Graph, x: F32, y: NDArray[np.int64]
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Keras `fit` of the same network for an epoch, and a compiled loop over its batches."""
    import tensorflow as tf
    import tf_keras as keras

    layers = keras.layers
    kernels = [graph.tensors[o.inputs[1]].shape for o in graph.operators if o.name == "CONV_2D"]
    (first, long, *_), (second, short, *_), (third, *_) = kernels
    network = keras.Sequential(
        [
            keras.Input((128, 6)),
            layers.Conv1D(first, long, strides=2, activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(second, short, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(third, short, padding="same", activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(6),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.01), loss)
    samples = x.reshape(-1, 128, 6)
    if network.count_params() != layout_of(graph).size:
        raise ValueError("the har model is no longer the network that stands here")
    data, labels = tf.constant(samples), tf.constant(y)
    variables = network.trainable_variables
    rng = np.random.default_rng(2)
    kept = [tf.constant(rng.integers(0, 2, v.shape), tf.float32) for v in variables]

    @tf.function  # type: ignore[untyped-decorator]
    def loop() -> None:
        """What a device does: shuffle, and keep pruned weights at zero."""
        order = tf.random.shuffle(tf.range(SAMPLES))
        for i in tf.range(0, SAMPLES, BATCH):
            batch = order[i : i + BATCH]
            with tf.GradientTape() as tape:
                outputs = network(tf.gather(data, batch), training=True)
                now = loss(tf.gather(labels, batch), outputs)
            gradients = tape.gradient(now, variables)
            for v, g, mask in zip(variables, gradients, kept, strict=True):
                v.assign((v - 0.01 * g) * mask)

    def fit() -> object:
        return network.fit(samples, y, batch_size=BATCH, epochs=1, verbose=0)

    return fit, loop
