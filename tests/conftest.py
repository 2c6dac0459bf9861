"""Fixtures that more than one folder's tests use."""

import asyncio
import os
import re
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.running import RunningBroker
from mqtt_broker.settings import BrokerSettings

ROOT = Path(__file__).parents[1]

# The same examples in every run and on every machine; a failure prints how to repeat it.
hypothesis.settings.register_profile(
    "microfed", derandomize=True, print_blob=True, deadline=None, database=None
)
hypothesis.settings.load_profile("microfed")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of this test's own; a failing test shows the seed that made them."""
    seed = int(os.environ.get("MICROFED_TEST_SEED", zlib.crc32(request.node.nodeid.encode())))
    print(f"rng: MICROFED_TEST_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name for client ids and topics that no other test on the same broker uses."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:20].strip("-")
    return f"{words}-{zlib.crc32(request.node.nodeid.encode()):08x}"


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Wait on the loop until a condition holds; fail after `within` seconds."""

    async def wait(condition: Callable[[], object], within: float = 60.0) -> None:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A real Mosquitto on a free port, for the whole session: use `unique` names."""
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    with start(BrokerSettings(kind="mosquitto"), tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """The broker inside the test process, for the whole session: use `unique` names."""
    with start(BrokerSettings(kind="embedded"), tmp_path_factory.mktemp("embedded")) as running:
        yield running


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    """Each kind of broker of our own in turn: what holds on one holds on the other."""
    running: RunningBroker = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data sets that no package brings (MICROFED_DATA)."""
    return _outside("MICROFED_DATA", "data", "data sets: UCI HAR, Fashion-MNIST, FSDD, ...")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Published int8 models of others (MICROFED_MODELS)."""
    return _outside("MICROFED_MODELS", "models", "int8 models: MLPerf Tiny")


def _outside(variable: str, name: str, what: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not path.is_dir():
        pytest.skip(f"{variable} names no directory here ({what})")
    return path
