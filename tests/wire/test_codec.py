"""Codecs for updates: literal layouts, the error bound, and refusals."""

import struct
import tracemalloc
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wire.codec import CODECS
from wire.errors import CodecError

INT8, FLOAT32 = CODECS["int8"], CODECS["float32"]


def f32(*values):
    return np.array(values, np.float32)


def test_int8_reads_by_hand():
    delta = f32(1.27, -0.64, 0.0, 0.0, 0.0, 254.0, -2.0)
    #                |---- tensor 0 ---|- 1 -|--- tensor 2 ---|
    data = INT8.encode(delta, bounds=(0, 3, 4, 7))
    assert data == (
        b"\x05"  # flags: tensors 0 and 2 have values, tensor 1 is all zero
        + struct.pack("<ff", 0.01, 2.0)  # their scales: 1.27 / 127 and 254 / 127
        + b"\x00"  # the codes are stored
        + struct.pack("6b", 127, -64, 0, 0, 127, -1)
    )
    expected = f32(0.01) * f32(127, -64, 0, 0, 0, 0, 0) + f32(0, 0, 0, 0, 0, 254, -2)
    np.testing.assert_array_equal(INT8.decode(data, 7, (0, 3, 4, 7)), expected)


def test_float32_is_the_values_themselves():
    assert FLOAT32.encode(f32(1.0, -2.5), (0, 2)) == bytes.fromhex("0000803f 000020c0")
    np.testing.assert_array_equal(FLOAT32.decode(bytes(8), 2, (0, 2)), f32(0, 0))


def test_codes_are_rounded_half_to_even():
    data = INT8.encode(f32(127.0, 0.5, 1.5, -0.5, -2.5), (0, 5))
    np.testing.assert_array_equal(INT8.decode(data, 5, (0, 5)), f32(127, 0, 2, 0, -2))


def test_an_update_of_zeros_is_one_flag_for_each_tensor():
    bounds = tuple(range(0, 110, 10))
    assert INT8.encode(np.zeros(100, np.float32), bounds) == b"\x00\x00"
    assert not INT8.decode(b"\x00\x00", 100, bounds).any()


def test_a_tensor_too_small_for_a_normal_scale_counts_as_zero():
    assert INT8.encode(f32(1e-37, -1e-40), (0, 2)) == b"\x00"


def test_a_tensor_with_nothing_unmasked_has_no_flag():
    bounds = (0, 0, 2, 2)
    data = INT8.encode(f32(1, -1), bounds)
    assert data[0] == 0b010
    np.testing.assert_allclose(INT8.decode(data, 2, bounds), f32(1, -1))
    assert INT8.encode(f32(), (0, 0)) == b"\x00"
    assert INT8.decode(b"\x00", 0, (0, 0)).size == 0


def test_deflate_is_used_where_it_is_shorter(rng):
    sparse = np.where(rng.random(5000) < 0.05, rng.normal(size=5000), 0).astype(np.float32)
    data = INT8.encode(sparse, (0, 5000))
    assert data[5] == 1
    assert len(data) < 1000


@st.composite
def updates(draw):
    """(delta, bounds): up to five tensors of very different magnitudes, some empty or zero."""
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=12))
    value = st.floats(-64, 64, width=32)
    tiny = st.floats(-(2.0**-20), 2.0**-20, width=32)
    parts = [
        draw(hnp.arrays(np.float32, size, elements=draw(st.sampled_from([value, tiny]))))
        for size in sizes
    ]
    bounds = tuple(int(b) for b in np.cumsum([0, *sizes]))
    return np.concatenate(parts), bounds


@given(updates())
def test_int8_is_within_half_a_scale_and_zero_stays_zero(update):
    delta, bounds = update
    back = INT8.decode(INT8.encode(delta, bounds), delta.size, bounds)
    assert back.dtype == np.float32
    assert not back[delta == 0].any()
    for start, stop in pairwise(bounds):
        scale = np.abs(delta[start:stop]).max(initial=0) / 127
        # the quotient and the product round in float32
        allowed = scale / 2 * (1 + 2.0**-15) + np.finfo(np.float32).tiny * 64
        assert np.all(np.abs(back[start:stop] - delta[start:stop]) <= allowed)


@given(updates())
def test_float32_loses_nothing(update):
    delta, bounds = update
    data = FLOAT32.encode(delta, bounds)
    np.testing.assert_array_equal(FLOAT32.decode(data, delta.size, bounds), delta)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_the_same_update_gives_the_same_bytes(codec, rng):
    delta = rng.standard_t(3, size=3000).astype(np.float32)
    bounds = (0, 2000, 2010, 3000)
    assert codec.encode(delta, bounds) == codec.encode(delta.copy(), bounds)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_not_sent(codec, value):
    with pytest.raises(CodecError, match=r"delta\[1\]"):
        codec.encode(f32(1.0, value), (0, 2))


ONE = struct.pack("<f", 1.0)
# fmt: off
BROKEN = {
    "nothing": (b"", "flags"),
    "a flag of no tensor": (b"\x02" + ONE + b"\x00\x01\x02\x03", "flags 02"),
    "no scale": (b"\x01\x00\x00", "scales"),
    "a scale of zero": (b"\x01" + bytes(4) + b"\x00\x01\x02\x03", "normal floats"),
    "a negative scale": (b"\x01" + struct.pack("<f", -1) + b"\x00\x01\x02\x03", "normal floats"),
    "a scale that is no number": (b"\x01" + b"\xff" * 4 + b"\x00\x01\x02\x03", "normal floats"),
    "an infinite scale": (b"\x01" + struct.pack("<f", np.inf) + b"\x00\x01\x02\x03", "normal"),
    "a subnormal scale": (b"\x01" + b"\x01\x00\x00\x00" + b"\x00\x01\x02\x03", "normal floats"),
    "a product beyond float32": (b"\x01" + struct.pack("<f", 3e38) + b"\x00\x01\x02\x03", "finite"),
    "no codes": (b"\x01" + ONE, "method missing"),
    "a method of its own": (b"\x01" + ONE + b"\x02\x01\x02\x03", "method 02"),
    "too few codes": (b"\x01" + ONE + b"\x00\x01\x02", "2 codes"),
    "too many codes": (b"\x01" + ONE + b"\x00\x01\x02\x03\x04", "4 bytes"),
    "the code -128": (b"\x01" + ONE + b"\x00\x01\x02\x80", "code -128"),
    "codes of an update of zeros": (b"\x00\x00", "after the scales"),
    "a stream that is none": (b"\x01" + ONE + b"\x01\xff\xff", "invalid block type"),
    "a stream cut short": (b"\x01" + ONE + b"\x01\x01\x03\x00\xfc\xff\x01", "cut short"),
    "bytes after the stream": (b"\x01" + ONE + bytes.fromhex("01 010300fcff 010203 00"), "1 bytes"),
}
# fmt: on


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_int8_refuses_what_is_not_an_update_of_three_values_in_one_tensor(data, message):
    with pytest.raises(CodecError, match=message):
        INT8.decode(data, 3, (0, 3))


@pytest.mark.parametrize("data", [b"", bytes(11), bytes(13), bytes(8) + b"\x00\x00\xc0\x7f"])
def test_float32_refuses_another_length_and_values_that_are_no_numbers(data):
    with pytest.raises(CodecError):
        FLOAT32.decode(data, 3, (0, 3))


def test_a_decompression_bomb_is_stopped_at_the_size_that_was_expected():
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(bytes(64 * 1024 * 1024)) + stream.flush()
    assert len(bomb) < 70_000
    tracemalloc.start()
    with pytest.raises(CodecError, match="goes on"):
        INT8.decode(b"\x01" + ONE + b"\x01" + bomb, 1000, (0, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000
