"""One small real build that many tests look at, and what TensorFlow warns of."""

import pytest

from datasets.settings import DataSettings
from pipeline.settings import ModelSettings, PruneSettings, QuantizeSettings

SMALL = {
    "data": DataSettings(name="digits"),
    "model": ModelSettings(architecture="cnn", width=6, epochs=20),
    "prune": PruneSettings(sparsity=0.6, epochs=6),
    "quantize": QuantizeSettings(epochs=2),
}


@pytest.fixture(scope="session")
def small():
    """The settings of the small build."""
    return SMALL


@pytest.fixture(scope="session")
def built(tmp_path_factory, small):
    """The result of one small build of digits, and the stages as they were told."""
    from pipeline.build import build

    told = []
    out = tmp_path_factory.mktemp("build") / "new" / "folder"
    return build(**small, seed=3, out=out, on_stage=told.append), told
