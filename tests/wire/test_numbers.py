"""The numbers of a base file: C and Python write the same bytes, and refuse the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import core.codec as compiled
from core.library import NoCoreError, library
from wire.codecs.numbers import code, read_numbers, write_numbers
from wire.coder import COUNTS, LEVELS, Reader, Writer, number
from wire.errors import CodecError

WEIGHTS, WIDE = bytes([0]), bytes([1])


def reference(numbers, bounds, wide):
    writer = Writer()
    code(writer, numbers, bounds, wide)
    return writer.finish()


def read_by_reference(data, bounds, wide):
    reader = Reader(data)
    found = code(reader, np.zeros(bounds[-1], np.int32), bounds, wide)
    reader.finish()
    return found


@st.composite
def runs(draw):
    """(numbers, bounds, wide): up to five runs, some of them empty."""
    numbers, bounds, wide = [], [0], []
    for _ in range(draw(st.integers(1, 5))):
        wide.append(draw(st.integers(0, 1)))
        least, most = (-(2**31), 2**31 - 1) if wide[-1] else (-128, 127)
        numbers += draw(st.lists(st.integers(least, most) | st.just(0), max_size=40))
        bounds.append(len(numbers))
    return np.int32(numbers), tuple(bounds), bytes(wide)


@given(runs())
def test_numbers_come_back_and_both_languages_write_the_same(drawn):
    numbers, bounds, wide = drawn
    data = write_numbers(numbers, bounds, wide)
    assert data == reference(numbers, bounds, wide)
    np.testing.assert_array_equal(read_numbers(data, bounds, wide), numbers)
    np.testing.assert_array_equal(read_by_reference(data, bounds, wide), numbers)


@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_are_the_same_numbers_in_both_languages_or_refused_by_both(data, wide):
    bounds, wide = (0, 20, 30), bytes([wide & 1, wide >> 1])

    def outcome(read):
        try:
            return read(data, bounds, wide).tolist()
        except CodecError:
            return None

    assert outcome(read_numbers) == outcome(read_by_reference)


@pytest.mark.parametrize("read", [read_numbers, read_by_reference])
def test_a_weight_of_128_is_refused(read):
    writer = Writer()
    number(writer, COUNTS, 1, 1, 1)
    writer.plain(0, 1)
    number(writer, LEVELS, 127, 127, 127)
    with pytest.raises(CodecError):
        read(writer.finish(), (0, 1), WEIGHTS)


def test_pruned_weights_take_little_more_than_their_entropy(rng):
    """Half are 0; the others have 32 equally likely magnitudes and a sign: 6 bits."""
    magnitudes = rng.integers(65, 97, 20_000)
    signs, kept = rng.choice([-1, 1], 20_000), rng.random(20_000) < 0.5
    numbers = (magnitudes * signs * kept).astype(np.int32)
    bits = 20_000 + 6 * np.count_nonzero(kept)
    assert bits / 8 < len(write_numbers(numbers, (0, 20_000), WEIGHTS)) < 1.03 * bits / 8


def test_numbers_that_do_not_fit_are_an_error_of_the_core():
    try:
        library()
    except NoCoreError as error:
        pytest.skip(str(error))
    with pytest.raises(compiled.CodedError, match="NO_MEMORY"):
        compiled.encode_numbers(np.int32([2**31 - 1] * 9), (0, 9), WIDE, 8)
    with pytest.raises(compiled.CodedError, match="NO_MEMORY"):
        compiled.encode_numbers(np.int32([128]), (0, 1), WEIGHTS, 100)
