"""Training: AdamW on half a cosine, light augmentation, and an optional teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BuildError
from pipeline.settings import ModelSettings
from pipeline.tf import keras, tf

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Samples:
    """What one training sees: x (n, height, width, channels) and the class y (n,) of each."""

    x: F32
    y: I32
    classes: int


def steps_of(samples: Samples, settings: ModelSettings, epochs: int) -> int:
    """How many batches `epochs` passes are."""
    return epochs * max(1, len(samples.y) // settings.batch)


def train(
    model: Any,
    samples: Samples,
    settings: ModelSettings,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    teacher: Any = None,
    callbacks: Sequence[Any] = (),
) -> None:
    """Train a model in place; its random numbers all follow from the seed.

    With a teacher (a model of the same classes), half of the target is what it
    says (Hinton et al. 2015, at temperature 1): it steadies the fine-tuning of a
    network that has lost most of its weights.
    """
    keras.utils.set_random_seed(seed)
    steps = steps_of(samples, settings, epochs)
    step = _step_of(model, _optimizer(settings, learning_rate, steps))
    watching = keras.callbacks.CallbackList(list(callbacks), model=model)
    watching.on_train_begin()
    for number, (x, target) in enumerate(_batches(samples, settings, seed, teacher).take(steps)):
        watching.on_train_batch_begin(number)
        step(x, target)
        watching.on_train_batch_end(number)
    watching.on_epoch_end(0)


def classes_of(model: Any, x: F32) -> NDArray[np.int64]:
    """The class (n,) that the model gives each sample."""
    chunks = [model(x[i : i + 512], training=False) for i in range(0, len(x), 512)]
    classes: NDArray[np.int64] = np.concatenate(chunks).argmax(axis=1)
    return classes


def _optimizer(settings: ModelSettings, learning_rate: float, steps: int) -> Any:
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay)


def _step_of(model: Any, optimizer: Any) -> Any:
    """One step on one batch.

    Not `model.fit`: that spends seconds on converting every layer's Python, for each
    of the models that one build trains, and a small data set has few steps to win them back.
    """
    # What makes variables in its first call is traced twice, which takes as long again.
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(x: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            errors = tf.nn.softmax_cross_entropy_with_logits(target, model(x, training=True))
            loss = tf.add_n([tf.reduce_mean(errors), *model.losses])
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    return step


def _batches(samples: Samples, settings: ModelSettings, seed: int, teacher: Any) -> Any:
    """Endless shuffled batches (x, target) with fresh augmentation in each."""
    n = len(samples.y)
    targets = np.eye(samples.classes, dtype=np.float32)[samples.y]
    batches = (
        tf.data.Dataset.from_tensor_slices((samples.x, targets))
        .shuffle(n, seed=seed)
        .batch(min(settings.batch, n), drop_remainder=True)
        .repeat()
    )

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def prepare(step: Any, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        x, target = batch
        x = _augmented(x, settings, tf.stack([tf.constant(seed, tf.int64), step]))
        if teacher is not None:
            target = (target + tf.nn.softmax(teacher(x, training=False))) / 2
        return x, target

    return batches.enumerate().map(prepare).prefetch(2)


def _augmented(x: Any, settings: ModelSettings, seed: Any) -> Any:
    # Stateless randomness: the same whatever ran before and however threads interleave.
    if settings.shift:
        most = settings.shift
        move = tf.random.stateless_uniform((2,), seed, -most, most + 1, tf.int32)
        for axis in (1, 2):
            if x.shape[axis] > 1:
                places = tf.range(x.shape[axis]) - move[axis - 1]
                x = tf.gather(x, tf.clip_by_value(places, 0, x.shape[axis] - 1), axis=axis)
    if settings.rotation:
        x = _rotated(x, settings.rotation, seed + 3)
    if settings.scale:
        n = tf.shape(x)[0]
        x *= 1 + settings.scale * tf.random.stateless_normal((n, 1, 1, 1), seed + 1)
    if settings.noise:
        x += settings.noise * tf.random.stateless_normal(tf.shape(x), seed + 2)
    return x


def _rotated(x: Any, degrees: float, seed: Any) -> Any:
    """Turn each sample's channels, three at a time, as devices do (device_sim/twin/augment.py)."""
    if x.shape[-1] % 3:
        raise BuildError(
            f"model.rotation = {degrees}: the data has {x.shape[-1]} channels; it needs them in "
            "threes, the x, y and z of each sensor"
        )
    n, half = tf.shape(x)[0], np.deg2rad(degrees) / 2
    u = tf.random.stateless_uniform((n, 3), seed, -half, half)
    zero = tf.zeros((n,))
    rows = ((zero, -u[:, 2], u[:, 1]), (u[:, 2], zero, -u[:, 0]), (-u[:, 1], u[:, 0], zero))
    cross = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    scale = 2 / (1 + tf.reduce_sum(u * u, axis=1))
    matrices = tf.eye(3) + scale[:, None, None] * (cross + cross @ cross)
    vectors = tf.reshape(x, (n, -1, 3))
    return tf.reshape(tf.matmul(vectors, matrices, transpose_b=True), tf.shape(x))
