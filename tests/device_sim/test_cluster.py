"""A fleet on two nodes of a Ray cluster, both on this machine, is the fleet of one process."""

import asyncio
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest
from pydantic import ValidationError

from device_sim.cluster import NoRayError, NotSharedError, _mark, _Shard, _shares, run_on_ray
from device_sim.settings import FleetSettings
from device_sim.shard import Shard
from device_sim.trainers import fastest_trainer
from tests.device_sim.test_transports import ROUNDS, aggregation, teach
from wire.settings import WireSettings


@pytest.fixture
def two_nodes():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install microfed[ray]")
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, about itself
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        try:
            cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, include_dashboard=False, log_to_driver=False)
            yield ray
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_fleet_on_two_nodes_ends_with_the_model_of_one_process(
    two_nodes, mosquitto, unique, rng, tmp_path
):
    devices = {
        f"dev-{i}": Shard(rng.random((8 + i, 8, 8, 1), np.float32), rng.integers(0, 5, 8 + i))
        for i in range(7)
    }
    fleet = unique[:25]
    done = []
    serving = threading.Thread(
        target=lambda: done.append(
            asyncio.run(aggregation(tmp_path / "ray", fleet, devices, mosquitto.endpoint))
        )
    )
    serving.start()
    tally = run_on_ray(
        broker=mosquitto.endpoint,
        fleet=fleet,
        devices=devices,
        settings=FleetSettings(engine="ray", transport="gateway"),
        seed=1,
        wire=WireSettings(),
        trainer=fastest_trainer,
        vault=tmp_path / "kept",
    )
    serving.join(60)
    assert done == [True]
    assert list(tally.devices) == list(devices)
    assert tally.accepted == 4 * ROUNDS
    assert len(list((tmp_path / "kept").glob("dev-*.kept"))) >= 4
    assert len({node["NodeID"] for node in two_nodes.nodes() if node["Alive"]}) == 2
    teach(tmp_path / "one", fleet, devices, transport="memory")
    on_ray, in_one = ((tmp_path / run / "model.tflite").read_bytes() for run in ("ray", "one"))
    assert on_ray == in_one


def test_a_node_that_does_not_see_the_vault_is_named_and_refused(tmp_path):
    """Without a cluster: what an actor does before it begins."""
    shard = _Shard({"vault": tmp_path / "elsewhere"}, _mark(tmp_path / "here"))
    with pytest.raises(NotSharedError, match=r"elsewhere: node .* does not see this folder"):
        shard.run({})
    other_run = _Shard({"vault": tmp_path / "here"}, "of another run")
    with pytest.raises(NotSharedError):
        other_run.run({})
    error = NotSharedError("/folder", "node-1")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_shares_are_equal_but_for_one():
    devices = {str(i): None for i in range(7)}
    shares = _shares(devices, 3)
    assert [list(share) for share in shares] == [["0", "1", "2"], ["3", "4"], ["5", "6"]]


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NoRayError, match=r"pip install .microfed\[ray\]"):
        run_on_ray(
            broker=None,
            fleet="f",
            devices={},
            settings=FleetSettings(),
            seed=1,
            wire=None,
            trainer=None,
        )


def test_a_cluster_has_no_broker_in_memory():
    with pytest.raises(ValidationError, match='transport "mqtt" or "gateway"'):
        FleetSettings(engine="ray", transport="memory")
