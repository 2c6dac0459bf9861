"""Real firmware among simulated devices: the same run, whoever takes part in it."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from tests.cli.conftest import MODEL, command
from tests.cli.test_run import wait_for_round


@pytest.fixture
def emulator():
    """Skip where boards cannot be emulated."""
    for program in ("qemu-system-arm", "arm-none-eabi-gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def test_a_run_whose_node_was_killed_ends_with_the_model_of_the_simulation(
    microfed, small, tmp_path, mosquitto, emulator
):
    """One board in QEMU, five simulated devices; the board loses its power after round 1."""
    few = ("--set", "data.factory=0.9", "--model", MODEL)
    simulated, mixed = tmp_path / "simulated", tmp_path / "mixed"
    assert microfed("run", small, *few, "--out", simulated).code == 0
    process = subprocess.Popen(
        command("run", small, *few, "--out", mixed, "--set", "fleet.qemu=1"),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_for_round(mixed, 1, process)
    node = mixed / "nodes/dev-00000"
    os.kill(int((node / "pid").read_text()), signal.SIGKILL)
    assert process.wait(120) == 0
    assert (mixed / "model.tflite").read_bytes() == (simulated / "model.tflite").read_bytes()
    facts = json.loads((mixed / "nodes.json").read_text())["dev-00000"]
    assert (facts["board"], facts["restarts"], facts["left"]) == ("qemu-m4", 1, True)
    assert facts["instructions"] > 1_000_000
    assert '<td class="words">qemu-m4</td>' in (mixed / "report.html").read_text()


def test_more_nodes_than_devices_are_refused(microfed, small):
    ended = microfed("run", small, "--model", MODEL, "--set", "fleet.qemu=7")
    assert ended.code == 3
    assert "fleet.qemu: found 7" in ended.err


def test_each_part_of_a_fleet_with_nodes_is_a_command(microfed, small, tmp_path, mosquitto):
    """Aggregator, nodes 0 to 2 and devices 3 to 5, on a broker that somebody runs."""
    url, run = str(mosquitto.endpoint), tmp_path / "run"
    same = ("--broker", url, "--set", "name=parts", "--set", "data.factory=0.9")
    others = [
        subprocess.Popen(command(*words, *same), stderr=subprocess.DEVNULL)
        for words in (
            ("aggregate", small, "--model", MODEL, "--out", run),
            ("devices", small, "--first", 3, "--count", 3),
        )
    ]
    kept = ("--keep", tmp_path / "nodes", "--out", tmp_path / "nodes.json")
    nodes = microfed("node", small, *same, "--model", MODEL, "--posix", "--count", 3, *kept)
    assert nodes.code == 0, nodes.err
    assert [other.wait(60) for other in others] == [0, 0]
    facts = json.loads((tmp_path / "nodes.json").read_text())
    assert [fact["trained"] for fact in facts.values()] == [3, 3, 3]
    assert [name for name, fact in facts.items() if not fact["left"]] == []
