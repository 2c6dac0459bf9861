"""`microfed plan` before a run, and the run's own books after it."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import MODEL

RELEASED = Path(__file__).parents[2] / "tflite_models" / "digits" / "model.tflite"
BOUND = 0.1


@pytest.mark.parametrize(
    "settings",
    [("federated.rounds=12",), ("federated.rounds=8", "federated.cohort=3", "fleet.link=lorawan")],
)
def test_a_plan_is_what_a_run_then_counts(microfed, small, tmp_path, settings):
    chosen = [word for s in ("fleet.transport=memory", *settings) for word in ("--set", s)]
    planned = microfed("plan", small, "--model", MODEL, "--interval", 0, *chosen, "--json")
    assert planned.code == 0, planned.err
    ran = microfed("run", small, "--model", MODEL, *chosen, "--out", tmp_path / "run", "--json")
    assert ran.code == 0, ran.err
    for key in ("bytes_up", "bytes_down"):
        assert planned.json[key] == pytest.approx(ran.json[key], rel=BOUND), key
    counted = ran.json["joules"]
    for name in ("training", "up", "down", "connecting"):
        fleet = planned.json["joules_device"][name] * planned.json["devices"]
        assert fleet == pytest.approx(counted[name], rel=BOUND), name
    assert planned.json["joules"] == pytest.approx(counted["total"], rel=BOUND)
    assert ran.json["joules_per_device"] == pytest.approx(counted["total"] / 6)


def test_a_measured_model_is_measured_once(microfed, small, cache):
    if not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")):
        pytest.skip("needs arm-none-eabi-gcc and qemu-system-arm")
    asked = ("plan", small, "--model", MODEL, "--json")
    first = microfed(*asked).json["instructions"]
    kept = {path: path.stat().st_mtime_ns for path in (cache / "microfed").iterdir()}
    assert first["measured"]
    assert first["training"] > first["evaluation"] / 2 > first["inference"] > 0
    assert microfed(*asked).json["instructions"] == first
    assert kept == {path: path.stat().st_mtime_ns for path in (cache / "microfed").iterdir()}


def test_a_plan_says_in_days_and_joules_what_the_board_and_the_link_make_of_it(microfed, small):
    ended = microfed(
        *("plan", small, "--model", MODEL, "--board", "nano33ble", "--link", "lorawan-sf12"),
        *("--inferences", 1000, "--interval", 1, "--json"),
    )
    assert ended.code == 0, ended.err
    plan = ended.json
    assert (plan["board"], plan["link"], plan["fits"]) == ("nano33ble", "lorawan-sf12", True)
    assert plan["days"] > 3 / 24
    assert plan["seconds_waiting"] > 0
    joules = plan["joules_device"]
    parts = sum(value for name, value in joules.items() if name != "total")
    assert joules["total"] == pytest.approx(parts)
    assert joules["inference"] > 0
    assert 0 < plan["battery_share"] < 1


def test_what_a_board_draws_is_not_guessed(microfed, small):
    ended = microfed("plan", small, "--model", MODEL, "--board", "pico2", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["joules"] is None
    assert ended.json["joules_device"]["training"] is None
    assert ended.json["joules_device"]["up"] > 0
    assert ended.json["joules_lacking"]["training"] == "what pico2 draws has no source"
    assert ended.json["seconds_round"] > 0
    assert "not estimated: training" in ended.err


def test_a_model_too_large_for_its_board_ends_with_the_budget_code(microfed, small):
    ended = microfed(
        *("plan", small, "--model", RELEASED, "--board", "uno-r4", "--json"),
    )
    assert ended.code == 7
    assert not ended.json["fits"]
    assert ended.json["bytes_ram_training"] > 32 * 1024
    assert "training all does not fit" in ended.err
