"""The command as a person runs it: a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[1] / "device_sim" / "twin" / "digits.tflite"

# Six devices, three rounds of a small digits model: seconds, and real at every joint.
SMALL = """\
name = "small"
[data]
clients = 6
[federated]
rounds = 3
epochs = 1
[fleet]
processes = 2
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out.splitlines()[-1])


def command(*arguments):
    return [sys.executable, "-m", "cli.main", *map(str, arguments)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Where figures that were measured are kept: once for all tests, and not in your home."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def microfed(tmp_path, cache):
    def run(*arguments, timeout=120):
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "XDG_CACHE_HOME": str(cache),
            },
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path
