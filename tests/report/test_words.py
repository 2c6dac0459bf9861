"""The report's numbers and sentences."""

from dataclasses import replace

import pytest

from report import words
from wire.messages import Reason


def plain(text):
    return text.replace(words.NBSP, " ")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (434, "434 B"),
        (999.4, "999 B"),
        (999.6, "1.0 KB"),
        (12_345, "12.3 KB"),
        (99_949, "99.9 KB"),
        (99_951, "100 KB"),
        (312_480, "312 KB"),
        (999_600, "1.0 MB"),
        (5_100_000, "5.1 MB"),
        (21_090_884_760, "21.1 GB"),
        (7e15, "7000 TB"),
    ],
)
def test_sizes_have_about_three_digits_and_decimal_units(count, text):
    assert plain(words.size(count)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (102.4, "1 min 42 s"),
        (3_599.7, "1 h 0 min"),
        (7_500, "2 h 5 min"),
    ],
)
def test_durations_never_show_sixty(seconds, text):
    assert plain(words.duration(seconds)) == text


def test_differences_are_signed_in_points():
    assert plain(words.points(0.051)) == "+5.1 points"
    assert plain(words.points(-0.0041)) == "−0.4 points"
    assert plain(words.points(-0.0001)) == "±0.0 points"


def test_the_headline_says_who_taught_what_in_how_many_bytes(full):
    assert plain(words.headline(full)) == (
        "3 devices taught the model from 86.1 % to 91.2 % in 4 rounds, 5.0 KB up."
    )


def test_the_headline_does_not_call_a_loss_teaching(full):
    worse = replace(full, accuracy_end=0.7)
    assert "took the model from 86.1 % down to 70.0 %" in plain(words.headline(worse))
    same = replace(full, accuracy_end=0.861, devices=())
    assert plain(words.headline(same)).startswith("The fleet left the model at 86.1 %")


def test_the_headline_of_one_round_and_one_device_is_singular(full):
    one = replace(full, devices=full.devices[:1], rounds=full.rounds[:1])
    assert "1 device taught" in plain(words.headline(one))
    assert "in 1 round," in plain(words.headline(one))


def test_a_run_without_rounds_says_so(minimal):
    assert plain(words.headline(minimal)) == "No round has closed: the model stands at 50.0 %."


def test_key_figures_compare_with_central_training_and_float32(full):
    figures = {f.label: f for f in words.key_figures(full)}
    assert plain(figures["Against central training"].value) == "−0.8 points"
    assert plain(figures["Sent up"].note) == "500 B an update; raw float32 is 45× that"


def test_key_figures_without_updates_divide_by_nothing(minimal):
    assert [f.label for f in words.key_figures(minimal)] == ["Accuracy", "int8 model"]


def test_every_refusal_that_the_wire_knows_is_explained():
    assert set(words.REASONS) == {reason.name for reason in Reason} - {"ACCEPTED"}


def test_joules_have_three_digits_and_a_unit_that_fits():
    assert words.energy(0) == "0\N{NO-BREAK SPACE}J"
    assert words.energy(1234.5) == "1.23\N{NO-BREAK SPACE}kJ"
    assert words.energy(0.0123) == "12.3\N{NO-BREAK SPACE}mJ"
    assert words.energy(4.2e-7) == "420\N{NO-BREAK SPACE}nJ"


def test_joules_for_a_point_need_points_and_joules(full):
    assert full.joules_per_point == pytest.approx(4.86 / 5.1)
    assert replace(full, accuracy_end=full.accuracy_start).joules_per_point is None
    assert replace(full, energy=None).joules_per_point is None
    unknown = replace(full.energy, lacking={"training": "nothing measured stands for it"})
    assert replace(full, energy=unknown).joules_per_point is None
    assert unknown.total == pytest.approx(0.36)
