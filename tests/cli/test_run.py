"""The whole thing: broker, aggregator and fleet as processes, killed and resumed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aggregator.errors import NoRunError
from aggregator.records import read_record
from cli.exits import RunError
from cli.parts import Part
from cli.record import record_of
from cli.run import _wait
from mqtt_broker.broker import start
from mqtt_broker.errors import BrokerError
from mqtt_broker.settings import BrokerSettings
from tests.cli.conftest import MODEL, command
from tflite_models.graph import read_graph


def wait_for_round(run, number, process):
    for _ in range(2400):
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
    assert (ended.json["rounds"], ended.json["updates"]) == (3, 18)
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    log = (tmp_path / "run" / "aggregator.log").read_text()
    assert re.search(
        r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO .*round   3/3", log, re.MULTILINE
    )
    outputs = [process.communicate(timeout=60)[0] for process in fleet]
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
    code = process.wait(60)
    assert code == (130 if number == signal.SIGTERM else -number)
    deadline = time.monotonic() + 60
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


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "min_devices=7",
            "federated.min_devices: found 7; the experiment has 6 devices, so 0 to 6 is",
        ),
        ("cohort=8.0", "federated.cohort: found 8; the experiment has 6 devices"),
        (
            "max_devices=5",
            "federated.max_devices: found 5; the experiment has 6 devices, so 6 or more",
        ),
    ],
)
def test_rounds_that_would_wait_for_more_devices_than_there_are_are_refused(
    microfed, small, tmp_path, setting, says
):
    run = tmp_path / "run"
    ended = microfed("run", small, "--model", MODEL, "--out", run, "--set", f"federated.{setting}")
    assert (ended.code, says in ended.err) == (3, True), ended.err
    assert not run.exists()


def part(code):
    """Some process in the place of a part."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return Part("part", process, None, -1)


def test_an_aggregator_that_all_devices_have_left_ends_the_run(mosquitto, monkeypatch):
    monkeypatch.setattr("cli.run.ALONE", 0.5)
    aggregator, *fleets = part("import time; time.sleep(60)"), part("print({})"), part("print({})")
    with pytest.raises(RunError, match="all devices have left"):
        _wait(aggregator, fleets, mosquitto)
    for each in (aggregator, *fleets):
        each.stop()
        each.process.stdout.close()


def test_a_run_whose_broker_dies_ends(tmp_path, monkeypatch, mosquitto):
    monkeypatch.setattr("cli.run.LOOK", 0.2)
    aggregator = part("import time; time.sleep(60)")
    with start(BrokerSettings(kind="mosquitto"), tmp_path) as broker:
        os.kill(broker.pid, signal.SIGKILL)
        with pytest.raises(BrokerError, match=r"mosquitto at .* ended with status -9"):
            _wait(aggregator, [aggregator], broker)
    aggregator.stop()
    aggregator.process.stdout.close()


def test_the_broker_command_ends_when_mosquitto_dies(small, tmp_path, mosquitto):
    folder = tmp_path / "broker"
    words = command("broker", small, "--set", "broker.kind=mosquitto", "--out", folder, "--json")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "mqtt://127.0.0.1" in process.stdout.readline()
    [child] = (pid for pid in children_of(folder / "mosquitto.conf") if pid != process.pid)
    os.kill(child, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "ended with status -9" in json.loads(out.splitlines()[-1])["error"]
    assert "ended with status -9" in err
