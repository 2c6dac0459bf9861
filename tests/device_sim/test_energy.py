"""Seconds and joules are those of the tables, counted message by message."""

import math
from typing import get_args

import pytest

from device_sim.energy import LOW, Costs, Energy, Meter, Work
from device_sim.radio import RADIOS, _lora
from device_sim.settings import FleetSettings
from tflite_models.boards import BOARDS, CORES

WORK = Work(training=1e6, evaluation=5e5, inference=2e5, measured=True)


def costs(board="nano33ble", link="wifi", work=WORK, **more):
    return Costs.of(FleetSettings(board=board, link=link, **more), work)


def test_training_takes_its_instructions_at_the_boards_clock_and_power():
    found = costs()
    seconds = 10 * (3 * 1e6 + 5e5) * 1.7 / 64e6  # ten samples, three epochs
    assert found.training_seconds(10, 3) == pytest.approx(seconds)
    assert found.training_joules(10, 3) == pytest.approx(seconds * 3.0 * 3.3e-3)
    assert found.inference_joules(100) == pytest.approx(100 * 2e5 * 1.7 / 64e6 * 3.0 * 3.3e-3)
    assert found.sleep_joules(86_400) == pytest.approx(86_400 * 3.0 * 3.16e-6)


def test_what_has_no_source_is_said_and_costs_nothing():
    assert costs("nano33ble").lacking == {}
    assert costs("nano33ble", work=None).lacking == {"training": "no model is known"}
    assert costs("uno-r4").lacking == dict.fromkeys(
        ("training", "sleep"), "what uno-r4 draws has no source"
    )
    assert costs("stm32f405").lacking == {"sleep": "what stm32f405 draws has no source"}
    assert costs("uno-r4").training_seconds(1, 1) > 0  # its core is known, and so the time
    assert costs("uno-r4").training_joules(1, 1) == 0
    nothing = costs("pico")  # without a floating-point unit: nothing measured stands for it
    assert nothing.training_seconds(1, 1) is None
    assert nothing.lacking["training"] == "nothing measured stands for a Cortex-M0+, 2 cores"
    assert Energy(up=1.0).as_json(nothing.lacking)["total"] is None
    assert Energy(up=1.0).as_json(("sleep",))["total"] == 1.0


def test_every_kind_of_link_that_can_be_set_has_its_radio():
    assert set(RADIOS) == set(get_args(FleetSettings.model_fields["link"].annotation))


def test_every_board_has_its_core_in_the_table():
    for board in BOARDS.values():
        core = CORES[board.core]
        if core.cycles is not None:
            assert core.least < core.cycles < core.most
        assert board.power is None or board.power.source.startswith("https://")


@pytest.mark.parametrize("name", RADIOS)
def test_a_price_is_the_radios_own_sum(name):
    found, radio = costs(link=name), RADIOS[name]
    for price, way in ((found.up, radio.up), (found.down, radio.down)):
        for size in (1, 48, 219, 220, 1024, 5000):
            assert price.joules(size) == pytest.approx(radio.joules(way, size))
        assert price.joules(3 * 90, 3) == pytest.approx(3 * radio.joules(way, 90))


@pytest.mark.parametrize(("spreading", "size"), [(7, 235), (7, 51), (12, 64), (12, 13), (10, 64)])
def test_a_lora_frame_is_as_long_as_the_datasheet_says_but_for_rounding(spreading, size):
    symbol = 2**spreading / 125e3
    bits = 4 * (spreading - 2 * (spreading > 10))
    symbols = 20.25 + 5 * math.ceil((8 * size - 4 * spreading + 44) / bits)
    rate, fixed = _lora(spreading)
    assert abs(size / rate + fixed - symbols * symbol) <= 2.5 * symbol


def test_lorawan_cuts_messages_and_is_asked_for_what_comes_down():
    radio = RADIOS["lorawan"]
    assert [radio.frames(size) for size in (0, 219, 220, 1024)] == [1, 1, 2, 5]
    assert radio.answers(radio.up, 219) == 0
    poll = radio.answers(radio.down, 219)
    assert poll == pytest.approx(radio.seconds(radio.up, 0) - 3 / radio.up.rate)
    assert radio.joules(radio.down, 219) > radio.seconds(radio.down, 219) * radio.down.watts
    assert 0.36 < radio.seconds(radio.up, 219) < 0.38  # of a full frame of 235 bytes


def test_a_link_of_none_costs_nothing_and_delays_nothing():
    found = costs(link="none", clock="device")
    assert found.up.joules(10**6) == found.down.joules(10**6) == 0
    assert found.rate(RADIOS["none"].up) == 0


def test_a_meter_counts_what_was_done_by_what_it_was_for():
    energy, found = Energy(), costs()
    meter = Meter(found, 1.0, energy)
    meter.connected()
    meter.sent(100)
    meter.received(50)
    meter.trained(4, 2)
    meter.passed(10.0)
    meter.passed(25.0)
    assert energy.connecting == 1.02
    assert energy.up == pytest.approx(found.up.joules(100))
    assert energy.down == pytest.approx(found.down.joules(50))
    assert energy.training == pytest.approx(found.training_joules(4, 2))
    assert energy.sleep == pytest.approx(found.sleep_joules(15.0))
    assert energy.as_json()["total"] == pytest.approx(sum(energy.as_json().values()) / 2)


def test_a_battery_is_low_below_a_tenth():
    found = costs(capacity=100.0)
    assert found.capacity == pytest.approx(100e-3 * 3600 * 3.7)
    meter = Meter(found, LOW + 0.002, Energy())
    for _ in range(2):  # 1.02 J of 2.664 each
        assert not meter.low
        meter.connected()
    assert not meter.low
    meter.connected()
    assert meter.low
