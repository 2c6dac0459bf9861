"""Real nodes in a real fleet: their updates are the simulator's, byte for byte."""

from pathlib import Path

import pytest

from benchmarks.node_runs import differing, with_devices, with_nodes
from cli.config import Experiment
from cli.nodes import node_kit, samples_of
from cli.shares import shares_of
from firmware.nodes import RunningNodes, Who, posix_program, start_posix
from firmware.qemu import NoToolError
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings

MODEL = Path(__file__).parents[1] / "device_sim/twin/digits.tflite"


def experiment(name="nodes", **federated) -> Experiment:
    settings = {"rounds": 4, "epochs": 2, "momentum": 0.5, "learning_rate": 0.05} | federated
    return Experiment.model_validate(
        {"name": name, "data": {"clients": 2, "factory": 0.9}, "federated": settings}
    )


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with start(BrokerSettings(), tmp_path_factory.mktemp("broker")) as running:
        yield running.endpoint


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The node of digits, with sanitizers."""
    kit = node_kit(MODEL.read_bytes(), experiment(proximal=0.01), 1000)
    try:
        return posix_program(kit.model, kit.sizes, tmp_path_factory.mktemp("program"))
    except NoToolError as error:
        pytest.skip(str(error))


def test_two_nodes_offer_what_the_simulated_devices_offer(broker, program, tmp_path):
    told = experiment()
    shares = shares_of(told)
    with RunningNodes() as nodes:

        def begin():
            for index, device in enumerate(shares.devices):
                who = Who(broker.host, broker.port, told.name, device)
                samples = samples_of(shares, index)
                nodes.add(start_posix(program, who, samples, tmp_path / device))

        real = with_nodes(told, shares, MODEL, broker, tmp_path / "real", nodes, begin)
    same = experiment("simulated")
    simulated = with_devices(same, shares, MODEL, broker, tmp_path / "simulated")
    assert len(real.offers) == 8
    assert differing(real, simulated) == []
    assert real.model == simulated.model
