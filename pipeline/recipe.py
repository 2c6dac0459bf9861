"""The way of one network: train, prune, strip, quantise, convert, balance, strip, verify."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.architectures import make
from pipeline.balance import balance
from pipeline.prune import KeepZeros, api, finished, kernels_of, prunable, sparsity_of
from pipeline.quantize import float32_file, int8_file, quantizable, settle
from pipeline.settings import ModelSettings, PruneSettings, QuantizeSettings
from pipeline.tf import keras
from pipeline.train import Samples, classes_of, steps_of, train
from pipeline.verify import gzip_size, sparsity_in, verify
from tflite_models.interpreter import Interpreter
from tflite_models.strip import strip


@dataclass(frozen=True)
class Stage:
    """One row of the build's table.

    Attributes:
        name: baseline, pruned, plain QAT, PQAT (QAT where nothing is pruned) or int8 file.
        accuracy: on the test share.
        sparsity: share of zeros over the kernels that pruning is about; of the
            int8 codes where there are any.
        bytes: of the .tflite file of this stage, float32 or int8.
        bytes_gzip: of that file after gzip.
        seconds: that the stage took.
    """

    name: str
    accuracy: float
    sparsity: float
    bytes: int
    bytes_gzip: int
    seconds: float


OnStage = Callable[[Stage], None]


@dataclass(frozen=True, eq=False)
class Recipe:
    """Everything that decides the file, but the data."""

    model: ModelSettings
    prune: PruneSettings
    quantize: QuantizeSettings
    seed: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """The file, and the class (n,) that it gives each test sample."""

    file: bytes
    predicted: NDArray[np.int64]
    stages: tuple[Stage, ...]


class Bench:
    """Measures the stages of one build and tells whoever watches."""

    def __init__(self, recipe: Recipe, test: Samples, on_stage: OnStage) -> None:
        self.stages: list[Stage] = []
        self._depthwise = recipe.prune.depthwise
        self._test = test
        self._on_stage = on_stage
        self._started = time.perf_counter()

    def floating(self, name: str, model: Any) -> None:
        """A stage whose model is float."""
        sparsity = sparsity_of(kernels_of(model, depthwise=self._depthwise))
        self._add(name, self.accuracy(model), sparsity, float32_file(model))

    def integer(self, name: str, accuracy: float, file: bytes) -> None:
        """A stage with an int8 file."""
        self._add(name, accuracy, sparsity_in(file, depthwise=self._depthwise), file)

    def accuracy(self, model: Any) -> float:
        """Of a Keras model on the test share."""
        return float((classes_of(model, self._test.x) == self._test.y).mean())

    def _add(self, name: str, accuracy: float, sparsity: float, file: bytes) -> None:
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        stage = Stage(name, accuracy, sparsity, len(file), gzip_size(file), seconds)
        self.stages.append(stage)
        self._on_stage(stage)


def follow(recipe: Recipe, training: Samples, test: Samples, on_stage: OnStage) -> Outcome:
    """Make the int8 file of one network and verify it.

    Raises:
        BuildError: the model cannot go this way, or the file is not what was asked for.
    """
    bench = Bench(recipe, test, on_stage)
    keras.backend.clear_session()  # what Keras remembers of earlier models shows in the next
    keras.utils.set_random_seed(recipe.seed)  # the first weights
    baseline = make(recipe.model, training.x.shape[1:], training.classes)
    train(
        baseline, training, recipe.model, seed=recipe.seed,
        epochs=recipe.model.epochs, learning_rate=recipe.model.learning_rate,
    )  # fmt: skip
    bench.floating("baseline", baseline)
    model = baseline
    if recipe.prune.sparsity:
        model = _pruned(recipe, baseline, training)
        bench.floating("pruned", model)
        if recipe.quantize.compare:
            plain = _quantized(recipe, model, baseline, training, keep_zeros=False)
            bench.integer("plain QAT", bench.accuracy(plain), int8_file(plain))
    quantized = _quantized(recipe, model, baseline, training, keep_zeros=recipe.prune.sparsity > 0)
    trained, raw = bench.accuracy(quantized), int8_file(quantized)
    bench.integer("PQAT" if recipe.prune.sparsity else "QAT", trained, raw)
    file = strip(balance(raw))
    predicted = Interpreter(file).predict(test.x)
    accuracy = float((predicted == test.y).mean())
    bench.integer("int8 file", accuracy, file)
    verify(file, recipe.prune, trained, accuracy)
    return Outcome(file, predicted, tuple(bench.stages))


def _pruned(recipe: Recipe, baseline: Any, training: Samples) -> Any:
    model = prunable(baseline, recipe.prune, steps_of(training, recipe.model, recipe.prune.epochs))
    train(
        model, training, recipe.model, seed=recipe.seed, teacher=baseline,
        epochs=recipe.prune.epochs, learning_rate=recipe.prune.learning_rate,
        callbacks=[api.UpdatePruningStep()],
    )  # fmt: skip
    return finished(model)


def _quantized(
    recipe: Recipe, model: Any, baseline: Any, training: Samples, *, keep_zeros: bool
) -> Any:
    quantized = quantizable(model, training.x, keep_zeros=keep_zeros)
    train(
        quantized, training, recipe.model, seed=recipe.seed, teacher=baseline,
        epochs=recipe.quantize.epochs, learning_rate=recipe.quantize.learning_rate,
        callbacks=[KeepZeros(quantized)] if keep_zeros else [],
    )  # fmt: skip
    settle(quantized, model, training.x)
    return quantized
