"""The fuzzer's corpus (make -C firmware/core fuzz) through the decoders that Python calls."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from wire.codecs.microfed import Microfed, read_differences
from wire.codecs.numbers import read_numbers
from wire.codecs.peaks import Peaks
from wire.errors import CodecError
from wire.moves import read_moves

CORPUS = sorted((Path(__file__).parents[1] / "fuzz" / "corpus").iterdir())


def test_no_message_of_the_corpus_is_more_than_a_refusal():
    assert len(CORPUS) > 50
    taken = 0
    for file in CORPUS:
        data = file.read_bytes()
        if len(data) < 3:
            continue
        n = int.from_bytes(data[:2], "little") % 4096
        bounds = (0, n * (data[2] & 15) // 32, n // 2, n // 2, n)
        try:
            assert np.isfinite(Microfed().decode(data[3:], n, bounds)).all()
            taken += 1
        except CodecError:
            pass
        with contextlib.suppress(CodecError):
            assert read_differences(data[3:], n).shape == (n,)
        with contextlib.suppress(CodecError):
            assert read_numbers(data[3:], bounds, bytes([0, 1, 0, 1])).shape == (n,)
        with contextlib.suppress(CodecError):
            assert np.isfinite(Peaks().decode(data[3:], n, bounds)).all()
        mask = np.arange(n % 64) % (1 + (data[2] >> 4)) == 0
        with contextlib.suppress(CodecError):
            assert not read_moves(data[3:], np.zeros(n % 64, np.int32), mask)[~mask].any()
    assert taken > 5


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 1000])
def test_a_message_of_ones_or_zeros_ends(size):
    for data in (b"\xff" * size, bytes(size)):
        for n in (0, 1, 100_000):
            with contextlib.suppress(CodecError):
                Microfed().decode(data, n, (0, n))
            with contextlib.suppress(CodecError):
                Peaks().decode(data, n, (0, n))
