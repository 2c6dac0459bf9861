"""Bars 6.1, 6.2, 6.5 and 6.7: nodes in QEMU beside simulated devices, and their image."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, Outcome, Row
from benchmarks.node_runs import Heard, differing, with_devices, with_nodes
from cli.config import Experiment, load
from cli.nodes import node_kit, samples_of
from cli.output import Output
from cli.shares import Shares, shares_of
from firmware.node_processes import RunningNodes, Who, account_of, start_qemu
from firmware.nodes import qemu_image
from firmware.qemu import MACHINES
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings
from mqtt_client.endpoint import Endpoint

ROOT = Path(__file__).parent.parent
BOARDS = ("qemu-m4", "qemu-m7", "qemu-m55")
ROUNDS = 10
SAMPLES = {"digits": 48, "har": 16}  # of a device: what differs shows in few, and QEMU is slow
TRAINS = ("all", "biases")
NODES = 6  # of bar 6.2
FLASH = 40 * 1024
CUTS = "tests/node/test_versions.py::test_a_loss_of_power_at_any_page_leaves_the_old_version"


def same_bytes(out: Output) -> Outcome:
    """Bar 6.1: updates of boards, each a device of one fleet, and those of the simulation."""
    rows: list[Row] = []
    for data, train in product(SAMPLES, TRAINS):
        rows.append(_compare(data, train, out))
        out.line(str(rows[-1]))
    differ = sum(row["differing"] for row in rows)
    least = min(row["updates"] for row in rows)
    claim = f"coded updates that differ from the simulation's, {ROUNDS} rounds on M4F, M7 and M55"
    ok = differ == 0 and least == ROUNDS * len(BOARDS) and all(row["model"] for row in rows)
    return Outcome(rows, [Bar("6.1", claim, differ, "0", ok)])


def whole_run(out: Output) -> Outcome:
    """Bar 6.2: the whole example by nodes alone, and by simulated devices."""
    told = _experiment("digits", clients=NODES)
    real, simulated = _both(told, shares_of(told), ("qemu-m4",) * NODES, out)
    differ = differing(real, simulated)
    same = real.model == simulated.model
    row: Row = {
        "nodes": NODES,
        "updates": len(real.offers),
        "differing": len(differ),
        "model": same,
    }
    value = f"{len(real.offers)} updates, {len(differ)} differ, models {'equal' if same else 'not'}"
    claim = f"examples/digits.toml by {NODES} Cortex-M4F nodes gives the model of the simulation"
    return Outcome([row], [Bar("6.2", claim, value, "equal", same and not differ)])


def image_size(out: Output) -> Outcome:
    """Bar 6.5: the linked image at -Os, less weights, scales and what says which are pruned."""
    rows: list[Row] = []
    for data in SAMPLES:
        told = _experiment(data)
        kit = node_kit(_model(data).read_bytes(), told, 200)
        with tempfile.TemporaryDirectory() as folder:
            image = qemu_image(
                MACHINES["qemu-m4"], kit.model, kit.sizes, Path(folder), optimized="-Os"
            )
        weights = kit.model.weight_bytes
        row: Row = {"model": data, "image": image.flash, "weights": weights}
        row |= {"without": image.flash - weights, "ram": image.ram}
        rows.append(row)
        out.line(str(row))
    most = max(row["without"] for row in rows)
    claim = "bytes of the node's image for Cortex-M4F at -Os, without weights"
    return Outcome(rows, [Bar("6.5", claim, f"{most:,}", f"< {FLASH:,}", most < FLASH)])


def power_cuts(out: Output) -> Outcome:
    """Bar 6.7: the test that tears the write of a version at every page."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", CUTS], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    found = re.search(r"(\d+) passed", done.stdout)
    passed = int(found[1]) if found and done.returncode == 0 else 0
    out.line(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
    claim = "ways of tearing a page, each at every page of the write, after which the old runs"
    return Outcome([{"ways": passed}], [Bar("6.7", claim, passed, "4", passed == 4)])


def _compare(data: str, train: str, out: Output) -> Row:
    clients = 0 if data == "har" else len(BOARDS)  # people are not shared out
    told = _experiment(data, clients=clients, rounds=ROUNDS, train=train)
    shares = _few(shares_of(told), SAMPLES[data])
    real, simulated = _both(told, shares, BOARDS, out)
    return {
        "data": data,
        "train": train,
        "boards": len(BOARDS),
        "updates": len(real.offers),
        "differing": len(differing(real, simulated)),
        "bytes": sum(len(offer.data) for offer in real.offers.values()),
        "model": real.model == simulated.model,
    }


def _both(
    told: Experiment, shares: Shares, boards: tuple[str, ...], out: Output
) -> tuple[Heard, Heard]:
    """The run with a node for each device, and the run with simulated ones."""
    model = _model(told.name)
    kit = node_kit(model.read_bytes(), told, max(map(len, shares.split.clients)))
    with (
        tempfile.TemporaryDirectory() as text,
        start(BrokerSettings(), Path(text) / "broker") as broker,
        RunningNodes() as nodes,
    ):
        folder, endpoint = Path(text), broker.endpoint
        images = {b: qemu_image(MACHINES[b], kit.model, kit.sizes, folder / b) for b in set(boards)}

        def begin() -> None:
            for index, (device, board) in enumerate(zip(shares.devices, boards, strict=True)):
                who = Who(endpoint.host, endpoint.port, told.name, device)
                samples = samples_of(shares, index)
                place = folder / "nodes" / device
                nodes.add(start_qemu(MACHINES[board], images[board], who, samples, place))

        real = with_nodes(told, shares, model, endpoint, folder / "real", nodes, begin)
        for device in shares.devices:
            out.line(f"{device}: {account_of(folder / 'nodes' / device)}")
        again = told.model_copy(update={"name": f"{told.name}-simulated"})
        return real, _simulated(again, shares, model, endpoint, folder)


def _simulated(
    told: Experiment, shares: Shares, model: Path, broker: Endpoint, folder: Path
) -> Heard:
    return with_devices(told, shares, model, broker, folder / "simulated")


def _experiment(data: str, **changes: Any) -> Experiment:
    """An example, with other clients or rounds and a deadline that QEMU meets."""
    words = [f"{_SECTION[key]}.{key}={value}" for key, value in changes.items()]
    return load(ROOT / "examples" / f"{data}.toml", (*words, "federated.deadline=3600"))


_SECTION = {"clients": "data", "rounds": "federated", "train": "federated"}


def _model(data: str) -> Path:
    return ROOT / "tflite_models" / data / "model.tflite"


def _few(shares: Shares, samples: int) -> Shares:
    """The first devices, as many as boards, with the first of their samples."""
    clients = tuple(client[:samples] for client in shares.split.clients[: len(BOARDS)])
    return replace(shares, split=replace(shares.split, clients=clients))
