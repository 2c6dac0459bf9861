"""The data files of this checkout's neighbourhood, or a skip that says what is missing."""

import os
from pathlib import Path

import pytest

from datasets.catalog import SOURCES, VARIABLE

NEIGHBOUR = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.fixture
def data_file(monkeypatch):
    """A function: the path of a named data set's file; skips the test where it is missing."""
    folder = Path(os.environ.get(VARIABLE) or NEIGHBOUR)

    def path(name):
        file = folder / SOURCES[name].file
        if not file.is_file():
            pytest.skip(f"{SOURCES[name].file} is not in {VARIABLE} or {NEIGHBOUR}")
        monkeypatch.setenv(VARIABLE, str(folder))
        return file

    return path
