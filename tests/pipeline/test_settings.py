"""Settings: cheap to import, strict about architectures."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pipeline.settings import ModelSettings, PruneSettings


def test_settings_import_neither_tensorflow_nor_numpy():
    code = "import sys, pipeline.settings; print({'tensorflow', 'tf_keras', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["mlp", "cnn", "cnn1d", "dscnn", "keras:my.models:small_net"])
def test_known_architectures_and_own_functions_are_allowed(name):
    assert ModelSettings(architecture=name).architecture == name


@pytest.mark.parametrize(
    "name", ["resnet", "keras:", "keras:module", "keras:os;rm:f", "keras:a:b:c"]
)
def test_other_architectures_are_refused(name):
    with pytest.raises(ValidationError, match="architecture"):
        ModelSettings(architecture=name)


def test_a_sparsity_that_leaves_nothing_is_refused():
    with pytest.raises(ValidationError, match="sparsity"):
        PruneSettings(sparsity=1.0)
