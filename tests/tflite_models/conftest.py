"""The models that these tests read: the repository's own, and the public ones where they are."""

import os
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent.parent
FIXTURES = TESTS / "fixtures"
PUBLIC = Path(os.environ.get("MICROFED_MODELS", TESTS.parent.parent / "shared" / "models"))

DATA = Path(os.environ.get("MICROFED_DATA", TESTS.parent.parent / "shared" / "data"))


@pytest.fixture(params=["conv", "depthwise", "dense"])
def file(request):
    """The bytes of each small fixture in turn."""
    return (FIXTURES / f"{request.param}.tflite").read_bytes()


@pytest.fixture
def fixture_file():
    """fixture_file("conv") gives the bytes of one small fixture."""
    return lambda name: (FIXTURES / f"{name}.tflite").read_bytes()


@pytest.fixture
def public_file():
    """public_file("kws_ref_model") gives the bytes of an MLPerf Tiny model, or skips."""

    def read(name):
        path = PUBLIC / f"{name}.tflite"
        if not path.exists():
            pytest.skip(f"{path.name} is not in MICROFED_MODELS ({PUBLIC})")
        return path.read_bytes()

    return read


@pytest.fixture
def keyword_inputs():
    """The MLPerf Tiny keyword inputs: codes (1000, 49, 10, 1) and classes, or skips."""
    path = DATA / "kws01.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in MICROFED_DATA ({DATA})")
    with np.load(path) as kws:
        return kws["x"].reshape(-1, 49, 10, 1), kws["y"]
