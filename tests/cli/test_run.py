"""The whole thing: broker, aggregator and fleet as processes, killed and resumed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from aggregator.errors import NoRunError
from aggregator.records import read_record
from cli.record import record_of
from tests.cli.conftest import MODEL, command
from tflite_models.graph import read_graph


def wait_for_round(run, number, process):
    for _ in range(600):
        try:
            if read_record(run).rounds[-1].number >= number:
                return
        except (NoRunError, IndexError):
            pass
        assert process.poll() is None, "it ended before the round was there"
        time.sleep(0.05)
    pytest.fail(f"round {number} never came")


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_a_fleet_teaches_a_model_over_a_real_broker(microfed, small, tmp_path, kind, request):
    request.getfixturevalue(kind)  # skips where it is not installed
    run = tmp_path / "run"
    ended = microfed(
        "run", small, "--model", MODEL, "--out", run, "--set", f"broker.kind={kind}", "--json"
    )
    assert ended.code == 0, ended.err
    said = ended.json
    assert (said["rounds"], said["updates"]) == (3, 18)
    assert said["accuracy_int8_end"] > said["accuracy_int8_start"]
    assert 0 < said["bytes_up"] < said["bytes_up_float32"]
    assert said["accuracy_central"] is None
    assert (run / "report.html").stat().st_size > 10_000
    base, taught = (read_graph((run / f"{n}.tflite").read_bytes()) for n in ("base", "model"))
    assert [o.name for o in base.operators] == [o.name for o in taught.operators]
    again = microfed("run", small, "--model", MODEL, "--out", run)
    assert again.code == 3
    assert "--resume" in again.err


def test_a_run_killed_in_the_middle_and_resumed_ends_with_the_same_bytes(
    microfed, small, tmp_path, mosquitto
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    rounds = "federated.rounds=6"
    assert microfed("run", small, "--model", MODEL, "--out", whole, "--set", rounds).code == 0
    process = subprocess.Popen(
        command("run", small, "--model", MODEL, "--out", killed, "--set", rounds),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_round(killed, 2, process)
    os.killpg(process.pid, signal.SIGKILL)  # broker, aggregator, devices and all
    process.wait()
    resumed = microfed("run", "--resume", killed, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["rounds"] == 6
    record = record_of(killed)
    assert [device.accepted for device in record.devices] == [6] * 6, "both lives count"
    assert resumed.json["bytes_up"] > sum(point.bytes_up for point in record.rounds)
    assert 0 < record.totals.bytes_up - sum(device.bytes_up for device in record.devices) < 500
    assert (killed / "model.tflite").read_bytes() == (whole / "model.tflite").read_bytes()


def test_the_three_parts_work_as_separate_processes(microfed, small, tmp_path, mosquitto):
    url = str(mosquitto.endpoint)
    fleet = [
        subprocess.Popen(
            command("devices", small, "--broker", url, "--first", first, "--count", 3, "--json"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 3)
    ]
    ended = microfed(
        "aggregate", small, "--broker", url, "--model", MODEL, "--out", tmp_path / "run", "--json"
    )
    assert ended.code == 0, ended.err
    outputs = [process.communicate(timeout=30)[0] for process in fleet]
    assert [process.returncode for process in fleet] == [0, 0]
    assert all('"updates": 9' in output for output in outputs)


def children_of(run):
    """The processes whose command line names this run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(run) in words and int(entry.parent.name) != os.getpid():
            found.append(int(entry.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running_when_only_the_run_itself_is_ended(
    small, tmp_path, mosquitto, number
):
    run = tmp_path / "run"
    more = ["--set", "federated.rounds=500"]
    process = subprocess.Popen(
        command("run", small, "--model", MODEL, "--out", run, *more),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_for_round(run, 1, process)
    process.send_signal(number)
    code = process.wait(30)
    assert code == (130 if number == signal.SIGTERM else -number)
    deadline = time.monotonic() + 20
    while children_of(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children_of(run) == []


def test_a_model_of_other_classes_is_refused_before_anything_starts(microfed, tmp_path, small):
    arrays = np.random.default_rng(1)
    np.savez(tmp_path / "my.npz", x=arrays.random((90, 8, 8, 1)), y=np.arange(90) % 3)
    run = tmp_path / "run"
    ended = microfed(
        "run",
        small,
        "--set",
        f"data.name=npz:{tmp_path / 'my.npz'}",
        "--model",
        MODEL,
        "--out",
        run,
    )
    assert ended.code == 6
    assert "knows 10 classes, the data has 3" in ended.err
    assert not run.exists()


def test_the_demo_is_a_command_that_there_is():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    demo = next(line for line in makefile.splitlines() if "microfed run" in line)
    words = demo.split("microfed run ")[1].split()
    assert Path(__file__).parents[2].joinpath(words[0]).exists()
    assert subprocess.run(command("run", *words, "--help"), check=False).returncode == 0
    assert len(words) == 1
