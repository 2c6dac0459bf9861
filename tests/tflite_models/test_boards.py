"""Boards, and whether models fit them."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tflite_models.boards import (
    BOARDS,
    RUNTIME_FLASH,
    RUNTIME_RAM,
    STACK,
    UnknownBoardError,
    board_named,
    fits,
)
from tflite_models.inspect import summarize


def test_every_board_has_a_source_and_plausible_figures():
    assert len(BOARDS) >= 10
    for name, board in BOARDS.items():
        assert board.name == name
        assert len(name) <= 32, "it must fit the Hello message"
        assert board.source.startswith("https://")
        assert 32 * 1024 <= board.ram <= board.flash
        assert 25 <= board.clock_mhz <= 240


def test_an_unknown_board_is_answered_with_the_known_ones():
    with pytest.raises(UnknownBoardError, match=r"board 'esp8266': allowed are .*esp32, esp32s3"):
        board_named("esp8266")


def test_a_model_that_needs_exactly_what_there_is_fits(fixture_file):
    summary = summarize(fixture_file("conv"))
    flash = summary.flash_bytes + RUNTIME_FLASH
    ram = summary.peak_ram + RUNTIME_RAM + STACK
    board = replace(board_named("pico"), flash=flash, ram=ram)
    assert fits(summary, board).fits
    assert not fits(summary, replace(board, flash=flash - 1)).fits
    assert not fits(summary, replace(board, ram=ram - 1)).fits


def test_the_reasons_say_what_is_missing(public_file):
    verdict = fits(summarize(public_file("vww_96_int8")), board_named("uno-r4"))
    assert not verdict.fits
    flash, ram = verdict.reasons
    assert flash.startswith("flash does not fit: 419,304 bytes (file 333,288 + runtime 86,016)")
    assert ram.startswith("RAM does not fit: 66,560 bytes (tensors 55,296")
    assert (verdict.flash, verdict.ram) == (419_304, 66_560)


def test_the_table_is_read_without_numpy():
    code = "import sys, tflite_models.boards; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
