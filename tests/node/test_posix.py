"""Real nodes in a real fleet: their updates are the simulator's, byte for byte."""

import asyncio
import subprocess
from hashlib import sha256

import numpy as np
import pytest

from benchmarks.node_runs import differing, with_devices, with_nodes
from cli.nodes import node_kit, samples_of
from cli.shares import shares_of
from firmware.node_processes import RunningNodes, Who, start_posix
from firmware.nodes import export_node
from firmware.qemu import WARNINGS
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from tests.node.conftest import LONGEST, MODEL, experiment
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of
from wire.blocks import count, serve
from wire.cbor import decode, encode
from wire.difference import Codes, Frame, encode_difference
from wire.messages import Announce, Hello, Kind, Need, Phase, Recipe, Task
from wire.objects import manifest_of
from wire.topics import Topics


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with start(BrokerSettings(), tmp_path_factory.mktemp("broker")) as running:
        yield running.endpoint


class Fleet:
    """The nodes of an experiment, on a broker; flash and logs are in `folder`."""

    def __init__(self, told, broker, program, folder, nodes):
        self.told, self.broker, self.program = told, broker, program
        self.folder, self.nodes = folder, nodes
        self.shares = shares_of(told)

    def start(self, index):
        device = self.shares.devices[index]
        who = Who(self.broker.host, self.broker.port, self.told.name, device)
        samples = samples_of(self.shares, index)
        self.nodes.add(start_posix(self.program, who, samples, self.folder / device))

    def start_all(self):
        for index in range(len(self.shares.devices)):
            self.start(index)


@pytest.fixture(scope="module")
def simulated(broker, tmp_path_factory):
    """The run of simulated devices that those of nodes are held against."""
    told = experiment("simulated")
    folder = tmp_path_factory.mktemp("simulated")
    return with_devices(told, shares_of(told), MODEL, broker, folder)


def run_of(fleet, folder, during=lambda _: None):
    arguments = (fleet.told, fleet.shares, MODEL, fleet.broker, folder, fleet.nodes)
    return with_nodes(*arguments, fleet.start_all, during)


def test_two_nodes_offer_what_the_simulated_devices_offer(broker, program, simulated, tmp_path):
    with RunningNodes() as nodes:
        fleet = Fleet(experiment("nodes"), broker, program, tmp_path, nodes)
        real = run_of(fleet, tmp_path / "run")
    assert len(real.offers) == 8
    assert differing(real, simulated) == []
    assert real.model == simulated.model


@pytest.mark.parametrize("when", ["Hello", "Need", "Offer"])
def test_a_node_that_loses_power_goes_on_as_if_it_had_not(
    broker, program, simulated, tmp_path, when
):
    """After the first word of that kind in round 2: what comes of the run is the same."""
    with RunningNodes() as nodes:
        fleet = Fleet(experiment(f"power-{when}"), broker, program, tmp_path, nodes)
        device = fleet.shares.devices[0]
        cuts = []

        def cut(heard):
            sender, message = heard.sent[-1]
            trained = (device, 1) in heard.offers or when == "Hello"
            if sender == device and trained and type(message).__name__ == when and not cuts:
                if when == "Offer" and message.round < 2:
                    return
                cuts.append(message)
                nodes.nodes[device].kill()
                fleet.start(0)

        real = run_of(fleet, tmp_path / "run", cut)
    assert len(cuts) == 1
    assert differing(real, simulated) == []
    assert real.model == simulated.model


@pytest.mark.parametrize("train", ["head", "biases"])
def test_a_part_of_the_model_trains_as_the_simulated_devices_train_it(
    broker, program, tmp_path, train
):
    told, same = (experiment(name, train=train) for name in (train, f"{train}-simulated"))
    with RunningNodes() as nodes:
        real = run_of(Fleet(told, broker, program, tmp_path, nodes), tmp_path / "run")
    other = with_devices(same, shares_of(same), MODEL, broker, tmp_path / "simulated")
    assert len(real.offers) == 8
    assert differing(real, other) == []
    assert real.model == other.model


def test_a_long_update_is_pulled_block_by_block(broker, program, tmp_path):
    """The node's blocks have 256 bytes, this update 700."""
    wire = {"budget_bytes": LONGEST}
    told, same = (experiment(name, wire, rounds=3) for name in ("long", "long-simulated"))
    with RunningNodes() as nodes:
        real = run_of(Fleet(told, broker, program, tmp_path, nodes), tmp_path / "run")
    other = with_devices(same, shares_of(same), MODEL, broker, tmp_path / "simulated")
    sent = [type(message).__name__ for _, message in real.sent]
    assert sent.count("Block") >= 3 * 2 * 2
    assert real.model == other.model


def test_a_difference_that_leads_elsewhere_is_pulled_once(broker, program, tmp_path):
    """To version 1, for a task of version 2: to write it for ever would wear the flash out."""
    file, told = MODEL.read_bytes(), experiment("elsewhere")
    layout = layout_of(read_graph(file))
    start = weights_of(read_graph(file), layout)
    nearer_zero = Codes(start.codes - np.sign(start.codes) * layout.mask, start.scales)
    frame = Frame(layout.mask, layout.channels)
    data = encode_difference(Codes(start.codes, start.scales), nearer_zero, frame)
    difference = manifest_of(Kind.DIFFERENCE, data, 0, 1)
    base = sha256(file).digest()
    task = Task(1, 2, base, Recipe(1, 8, 0.05), "microfed", 7, 60, (difference,), check=99)
    topics, hellos, pulled, enough = Topics(told.name), [], [], asyncio.Event()

    def hear(topic, payload):
        device, channel = topics.sender(topic)
        match channel, decode(payload):
            case "up", Hello() as hello:
                hellos.append(hello.version)
                answers = [] if hello.version else [task]
            case "up", Need() as need:
                answers = serve(need, {difference.id: data})
                pulled.extend(block.index for block in answers)
            case _:
                return
        for answer in answers:
            aggregator.publish(topics.down(device), encode(answer))
        if hellos[-1] or len(pulled) > 100:
            enough.set()

    async def live(fleet):
        await aggregator.connect(10)
        announced = Announce(1, Phase.TRAINING, 1, 2, base)
        aggregator.publish(topics.announce, encode(announced), retain=True)
        fleet.start(0)
        await asyncio.wait_for(enough.wait(), 20)
        aggregator.publish(topics.announce, b"", retain=True)
        await aggregator.drain(5)
        await aggregator.disconnect()

    aggregator = Connection(broker, "elsewhere", on_message=hear)
    aggregator.subscribe(topics.up("+"))
    with RunningNodes() as nodes:
        asyncio.run(live(Fleet(told, broker, program, tmp_path, nodes)))
    assert hellos[-1] == 1, f"no end of it: {len(pulled)} blocks"
    assert set(pulled) == set(range(count(len(data), 256)))


def test_an_exported_node_compiles_by_itself(tmp_path):
    """All of src/ with -Iinclude -Isrc, every warning an error, as a board's build would."""
    told = experiment()
    kit = node_kit(MODEL.read_bytes(), told, 100)
    made = export_node(kit.model, kit.sizes, tmp_path)
    assert [path.name for path in made] == ["model.c", "infer.c", "settings.c"]
    sources = sorted((tmp_path / "src").rglob("*.c"))
    command = ["cc", "-std=c99", "-fsyntax-only", *WARNINGS, "-Werror", "-Iinclude", "-Isrc"]
    done = subprocess.run(
        [*command, *sources], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
