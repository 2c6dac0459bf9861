"""Bars are chosen by their numbers, whichever measurement they come from."""

import click
import pytest

from benchmarks.bars import Bar, Outcome, measure_chosen
from cli.output import Output


def measurement(*numbers):
    return lambda _: Outcome([], [Bar(n, "", "", "", ok=True) for n in numbers])


MEASUREMENTS = {"1.1 1.2": measurement("1.1", "1.2"), "1.3": measurement("1.3")}


def chosen(*only):
    return [bar.number for bar in measure_chosen(MEASUREMENTS, only, Output(as_json=True)).bars]


def test_a_bar_brings_those_that_are_measured_with_it():
    assert chosen("1.2") == ["1.1", "1.2"]
    assert chosen("1.2", "1.1") == ["1.1", "1.2"]
    assert chosen("1.3") == ["1.3"]
    assert chosen() == ["1.1", "1.2", "1.3"]


def test_an_unknown_bar_is_refused_with_those_that_there_are():
    with pytest.raises(click.BadParameter, match=r"1\.4: choose from 1\.1, 1\.2, 1\.3"):
        chosen("1.4")


@pytest.mark.parametrize("bench", ["slice", "wire", "fleet", "firmware"])
def test_every_bench_says_which_bars_it_has(bench):
    module = pytest.importorskip(f"benchmarks.{bench}")
    with pytest.raises(click.BadParameter, match=r"9\.9: choose from"):
        module.run(["9.9"], Output(as_json=True))
