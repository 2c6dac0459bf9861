"""A plan counts the protocol's own messages, and turns duty cycles into days."""

from dataclasses import replace

import pytest

from device_sim.energy import Costs, Work
from device_sim.plan import DAY, Rollout, differences, plan, update_size
from device_sim.settings import FleetSettings
from tflite_models.boards import board_named
from wire.messages import Recipe

ROLLOUT = Rollout(
    board=board_named("nano33ble"),
    gateway="",
    recipe=Recipe(3, 16, 0.1, 0.5, fake_quantize=1),
    codec="microfed",
    budget=0,
    block=1024,
    rounds=25,
    taken=25,
    devices=20,
    cohort=20,
    samples=58,
    deadline=60,
    base=8_000,
    catch_up=0,
    differences=(1_500,) * 24,
    update=156,
)
WORK = Work(training=1.5e6, evaluation=1e6, inference=2e5, measured=True)


def costs(link, board="nano33ble"):
    return Costs.of(FleetSettings(board=board, link=link), WORK)


def test_the_parts_of_a_plan_are_what_the_tables_say():
    found, link = plan(ROLLOUT, costs("wifi"), 24 * 3600.0, 10), costs("wifi")
    assert found.days == 25
    assert found.energy.training == pytest.approx(25 * link.training_joules(58, 3))
    assert found.energy.connecting == pytest.approx(25 * 1.02)
    assert found.energy.sleep == pytest.approx(link.sleep_joules(25 * DAY))
    assert found.inference == pytest.approx(link.inference_joules(250))
    assert found.joules == pytest.approx(found.energy.total + found.inference)


def test_a_device_that_sleeps_between_rounds_greets_anew_each_time():
    awake, asleep = (plan(ROLLOUT, costs("wifi"), interval, 0) for interval in (0, 3600.0))
    greetings = 24 * (7 + 68 + 7)  # a Hello that says what is held, between two Presences
    assert asleep.bytes_up - awake.bytes_up == greetings
    assert asleep.bytes_down < awake.bytes_down  # it misses no round, but the first and last word
    assert awake.energy.sleep == 0


def test_blocks_carry_what_is_pulled_and_little_else():
    found = plan(ROLLOUT, costs("none"), 0, 0)
    pulled = ROLLOUT.base + sum(ROLLOUT.differences)
    assert pulled < found.bytes_down < 1.3 * pulled
    larger = plan(replace(ROLLOUT, update=5_000), costs("none"), 0, 0)
    assert larger.bytes_up - found.bytes_up > 25 * 4_844, "an update too long for an Offer"
    assert larger.bytes_down > found.bytes_down, "and what asks for its blocks"


def test_a_duty_cycle_stretches_rounds_to_days():
    fast = plan(ROLLOUT, costs("lorawan"), 24 * 3600.0, 0)
    assert fast.days == 25
    assert fast.silent > 0
    slow = plan(ROLLOUT, costs("lorawan-sf12"), 24 * 3600.0, 0)
    assert slow.days > 25
    alone = plan(replace(ROLLOUT, devices=1, cohort=1), costs("lorawan-sf12"), 24 * 3600.0, 0)
    assert alone.days < slow.days, "a gateway's share of the time is for all its devices"
    assert plan(ROLLOUT, costs("ble"), 24 * 3600.0, 0).silent == 0


def test_a_slower_link_never_costs_fewer_joules_on_the_air():
    spent = [plan(ROLLOUT, costs(link), 0, 0).energy for link in ("lorawan", "lorawan-sf12")]
    assert spent[0].up < spent[1].up
    assert spent[0].down < spent[1].down


def test_differences_are_the_rehearsed_ones_and_shrink_with_the_root_of_the_learning_rate():
    assert differences((300, 100), 1.0, 3) == (300, 100, 200)
    assert differences((300, 200, 100), 0.5, 2) == (300, 200)
    sizes = differences((1000,), 0.25, 4)
    assert sizes == (1000, 500, 250, 125)


def test_an_update_takes_its_budget_and_no_more():
    assert 240 <= update_size("microfed", (0, 5_000), 250) <= 250
    assert update_size("float32", (0, 100), 0) == pytest.approx(400, abs=8)
