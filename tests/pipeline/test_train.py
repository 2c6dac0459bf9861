"""Training: seeded, augmented as asked, steadied by a teacher."""

import numpy as np
import pytest

from pipeline.errors import BuildError
from pipeline.settings import ModelSettings

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def samples():
    from pipeline.train import Samples

    rng = np.random.default_rng(1)
    y = np.arange(60, dtype=np.int32) % 3
    x = rng.normal(size=(60, 4, 1, 3)).astype(np.float32) + 2 * y[:, None, None, None]
    return Samples(x, y, 3)


def trained(samples, seed=1, teacher=None, **settings):
    from pipeline.architectures import make
    from pipeline.tf import keras
    from pipeline.train import train

    settings = ModelSettings(architecture="mlp", width=8, batch=16, **settings)
    keras.utils.set_random_seed(7)
    model = make(settings, samples.x.shape[1:], samples.classes)
    train(model, samples, settings, epochs=30, learning_rate=0.02, seed=seed, teacher=teacher)
    return model


def augmented(x, seed, **settings):
    from pipeline.tf import tf
    from pipeline.train import _augmented

    seeds = tf.constant([seed, 0], tf.int64)
    return _augmented(tf.constant(x), ModelSettings(**settings), seeds).numpy()


def test_training_learns_and_repeats_by_its_seed(samples):
    from pipeline.train import classes_of

    one, two, other = (trained(samples, seed) for seed in (1, 1, 2))
    assert (classes_of(one, samples.x) == samples.y).mean() > 0.7
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_teacher_pulls_the_answers_its_way(samples):
    from pipeline.train import classes_of

    class Stubborn:
        """A teacher that answers 2 whatever it sees."""

        def __call__(self, x, *, training):
            from pipeline.tf import tf

            assert not training
            return tf.tile([[0.0, 0.0, 9.0]], (tf.shape(x)[0], 1))

    taught = classes_of(trained(samples, teacher=Stubborn()), samples.x)
    alone = classes_of(trained(samples), samples.x)
    assert (taught == 2).sum() > (alone == 2).sum() + 10


def test_without_augmentation_samples_stay_as_they_are():
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3, 1)
    np.testing.assert_array_equal(augmented(x, 1), x)


def test_a_shift_moves_whole_rows_and_repeats_the_edge():
    x = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    seen = {tuple(augmented(x, seed, shift=1).ravel().tolist()) for seed in range(30)}
    assert seen == {(0, 1, 2, 3, 4), (0, 0, 1, 2, 3), (1, 2, 3, 4, 4)}


def test_scaling_gives_each_sample_one_factor():
    x = np.ones((6, 4, 3, 1), np.float32)
    y = augmented(x, 1, scale=0.1)
    assert (y == y[:, :1, :1]).all()
    assert len(np.unique(y)) == 6


def test_noise_has_the_asked_deviation():
    y = augmented(np.zeros((50, 20, 10, 1), np.float32), 1, noise=0.3)
    assert y.std() == pytest.approx(0.3, rel=0.05)


def test_a_rotation_is_rigid_small_and_the_same_for_both_sensors():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(50, 4, 1, 3)).astype(np.float32)
    y = augmented(np.concatenate([half, half], axis=-1), 1, rotation=10.0)
    np.testing.assert_allclose(y[..., :3], y[..., 3:], atol=1e-5)
    np.testing.assert_allclose((y[..., :3] ** 2).sum(-1), (half**2).sum(-1), rtol=1e-4)
    cosine = (y[..., :3] * half).sum(-1) / (half**2).sum(-1)
    assert 0 < np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() <= 10 * np.sqrt(3)


def test_a_rotation_of_other_channels_is_refused():
    with pytest.raises(BuildError, match="4 channels"):
        augmented(np.zeros((1, 2, 1, 4), np.float32), 1, rotation=10.0)
