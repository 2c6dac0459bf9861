"""Every command: help with an example, JSON at the end, exit codes, and a quick start."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.start import STARTS, cpu_seconds
from cli.config import Experiment, load
from cli.exits import exit_code
from cli.main import COMMANDS
from cli.shares import shares_of
from pipeline.errors import BudgetError, BuildError, ModelRefusedError
from tests.cli.conftest import MODEL

# CPU time of a start, as a multiple of what importing these costs: seconds depend on the
# machine and on who shares its cores (`microfed bench slice --only start` has seconds).
# Measured, idle and with four busy processes on two cores: 0.2 to 1.3; with the lightest
# mistake, matplotlib, 2.4 to 2.9.
YARDSTICK = "import asyncio, click, numpy, paho.mqtt.client, pydantic, tomli_w"
HEAVY = "import cli.main, matplotlib.figure"
MOST = 1.8
TURNS = 4  # of all in turn; the least of each counts, because noise only adds


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(microfed, name):
    ended = microfed(name, "--help")
    assert ended.code == 0
    assert "Example" in ended.out
    assert "--json" in ended.out


def test_help_lists_every_command(microfed):
    out = microfed("--help").out
    assert [name for name in COMMANDS if f"  {name} " in out] == list(COMMANDS)


@pytest.fixture(scope="module")
def start_up():
    """CPU time of every start, over that of the yardstick measured beside it."""
    starts = {name: ["-m", "cli.main", *words] for name, words in STARTS.items()}
    starts |= {"yardstick": ["-c", YARDSTICK], "heavy": ["-c", HEAVY]}
    turns = [{name: cpu_seconds(*words) for name, words in starts.items()} for _ in range(TURNS)]
    best = {name: min(turn[name] for turn in turns) for name in starts}
    return {name: seconds / best["yardstick"] for name, seconds in best.items()}


@pytest.mark.parametrize("start", STARTS)
def test_what_needs_no_tensorflow_starts_quickly(start_up, start):
    assert start_up[start] < MOST


def test_a_heavy_import_would_be_noticed(start_up):
    assert start_up["heavy"] > MOST


@pytest.mark.parametrize("module", ["cli.main", *(f"cli.{name}" for name in COMMANDS)])
def test_no_command_imports_tensorflow_to_start(module):
    code = f"import {module}, sys; print([m for m in sys.modules if 'tensorflow' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_inspect_says_what_is_in_a_file(microfed):
    ended = microfed("inspect", MODEL, "--board", "uno-r4", "--json")
    assert ended.code == 0
    assert ended.json["fits"] is True
    assert ended.json["parameters"] > 0
    assert len(ended.out.splitlines()) == 1, "with --json only the object is on stdout"
    assert "CONV_2D" in ended.err


def test_inspect_says_what_a_board_can_train(microfed):
    ended = microfed("inspect", MODEL, "--board", "uno-r4", "--train", "--json")
    training = ended.json["training"]
    assert ended.code == 0
    assert training["chosen"] in [choice["name"] for choice in training["choices"]]
    assert "can train" in ended.err
    small = microfed("inspect", MODEL, "--board", "esp32", "--train", "--json")
    assert small.json["training"]["chosen"] == "all"


def test_a_model_that_does_not_fit_its_board_is_exit_code_7(microfed, models_dir):
    ended = microfed("inspect", models_dir / "vww_96_int8.tflite", "--board", "uno-r4", "--json")
    assert ended.code == 7
    assert ended.json["fits"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run",), 2, "name a CONFIG"),
        (("run", "--rounds", "3"), 2, "No such option '--rounds'"),
        (("fly",), 2, "No such command 'fly'"),
        (("run", "none.toml"), 3, "none.toml: cannot be read"),
        (("run", "small.toml", "--set", "data.name=har", "--model", MODEL), 4, "har.npz"),
        (("devices", "small.toml", "--broker", "mqtt://127.0.0.1:1"), 5, "127.0.0.1:1"),
        (("devices", "small.toml", "--broker", "http://x"), 2, "mqtt://host:port"),
        (("inspect", "small.toml"), 6, "small.toml"),
        (("report", "."), 1, "state.sqlite"),
    ],
)
def test_an_error_is_one_message_and_its_exit_code(
    microfed, small, arguments, code, says, monkeypatch
):
    monkeypatch.setenv("MICROFED_DATA", str(small.parent))
    ended = microfed(*arguments, "--json")
    assert (ended.code, says in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err
    assert says in ended.json["error"]
    assert ended.json["exit"] == code
    assert len(ended.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"), [(ModelRefusedError, 3), (BuildError, 6), (BudgetError, 7), (KeyError, None)]
)
def test_an_error_of_the_build_has_the_code_of_whoever_can_mend_it(error, code):
    assert exit_code(error("so it is")) == code


@pytest.mark.tensorflow
def test_a_network_that_does_not_suit_the_data_is_an_error_of_the_configuration(microfed, small):
    ended = microfed("build", small, "--set", "model.architecture=cnn1d", "--json")
    assert ended.code == 3
    assert "cannot take samples of shape (8, 8, 1)" in ended.json["error"]


def test_a_report_on_a_run_that_never_got_going_says_so(microfed, small, tmp_path):
    run = tmp_path / "run"
    failed = microfed(
        "aggregate", small, "--broker", "mqtt://127.0.0.1:1", "--out", run, "--model", MODEL
    )
    assert failed.code == 5
    with closing(sqlite3.connect(run / "state.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM versions")  # as if it had ended before its model was evaluated
    ended = microfed("report", run, "--json")
    assert (ended.code, ended.json["exit"]) == (1, 1)
    assert "failed before its model was evaluated" in ended.json["error"]
    (run / "state.sqlite").write_bytes(b"")
    assert "cannot be read as a run" in microfed("report", run, "--json").json["error"]


def test_new_writes_a_configuration_and_never_over_another(microfed, tmp_path):
    assert microfed("new", "pump").code == 0
    assert load(tmp_path / "pump.toml") == Experiment(name="pump")
    again = microfed("new", "pump")
    assert again.code == 3
    assert "exists already" in again.err


@pytest.mark.parametrize(
    ("shape", "people", "architecture", "partition"),
    [
        ((13,), 0, "mlp", ("dirichlet", 20, 3)),
        ((256,), 0, "cnn1d", ("dirichlet", 20, 3)),
        ((128, 1, 6), 12, "cnn1d", ("subject", 0, 3)),
        ((128, 6), 3, "cnn1d", ("subject", 0, 1)),
        ((28, 28), 2, "cnn", ("dirichlet", 20, 3)),
        ((32, 32, 3), 0, "cnn", ("dirichlet", 20, 3)),
        ((4, 4), 0, "mlp", ("dirichlet", 20, 3)),
    ],
)
def test_new_looks_into_the_data(microfed, tmp_path, shape, people, architecture, partition):
    arrays = {"x": np.zeros((600, *shape), np.int8), "y": np.arange(600) % 4}
    if people:
        arrays["subject"] = np.arange(600) % people
    np.savez(tmp_path / "my.npz", **arrays)
    ended = microfed("new", "pump", "--data", "my.npz")
    assert ended.code == 0, ended.err
    experiment = load(tmp_path / "pump.toml")
    data = experiment.data
    assert data.name == f"npz:{tmp_path / 'my.npz'}", "it holds wherever one stands"
    assert experiment.model.architecture == architecture
    assert (data.partition, data.clients, data.factory_subjects) == partition
    assert shares_of(experiment).devices, "as it is written it can be run"


def test_new_says_what_is_wrong_with_the_data(microfed, tmp_path):
    ended = microfed("new", "pump", "--data", "none.npz", "--json")
    assert (ended.code, "no file" in ended.json["error"]) == (4, True)
    assert not (tmp_path / "pump.toml").exists()


def test_doctor_says_what_a_missing_thing_costs(microfed, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.delenv("MICROFED_DATA", raising=False)
    ended = microfed("doctor", "--json")
    assert ended.code == 0
    assert "MICROFED_DATA" in ended.json["missing"]
    found = {finding["name"]: finding for finding in ended.json["findings"]}
    assert found["numpy"]["found"]
    assert "no data sets but digits" in found["MICROFED_DATA"]["cost"]


def test_the_installed_command_is_the_same():
    script = Path(sys.executable).with_name("microfed")
    if not script.exists():
        pytest.skip("the distribution is not installed beside this Python")
    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.startswith("microfed ")


def test_json_is_the_last_line_whatever_else_is_said(microfed):
    last = microfed("doctor", "--json").out.splitlines()[-1]
    assert isinstance(json.loads(last), dict)
