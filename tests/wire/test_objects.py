"""Base files and differences of model versions: literal layouts, round trips, refusals."""

import hashlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wire.difference import Codes, apply_difference, check_of, encode_difference, packed
from wire.errors import CodecError
from wire.messages import Kind, Manifest
from wire.objects import manifest_of, pack_base, unpack_base
from wire.packing import pack, unpack


def version(codes, scales):
    return Codes(np.array(codes, np.int32), np.array(scales, np.float32))


OLD = version([5, 0, -7, 100], [0.5, 0.25, 2.0])
MASK = np.array([True, False, True, True])


def same(a, b):
    np.testing.assert_array_equal(a.codes, b.codes)
    np.testing.assert_array_equal(a.scales, b.scales)
    assert (a.codes.dtype, a.scales.dtype) == (np.int32, np.float32)


def test_a_check_is_the_crc_of_codes_and_scales_as_little_endian_bytes():
    data = bytes.fromhex("05000000 00000000 f9ffffff 64000000  0000003f 0000803e 00000040")
    assert check_of(OLD) == zlib.crc32(data)
    for other in (
        version([5, 0, -7, 101], [0.5, 0.25, 2.0]),
        version([5, 0, -7, 100], [0.5, 0.25, 2.5]),
    ):
        assert check_of(other) != check_of(OLD)


def test_a_packed_difference_reads_by_hand():
    new = version([6, 0, -10, 300], [0.5, 0.25, 4.0])
    data = packed(b"\x01\x02" + struct.pack("<f", 4.0), np.int64([1, -3, 200]))
    assert data == (
        b"\x00"  # stored
        b"\x01"  # one scale has changed:
        b"\x02"  # it comes after two that have not,
        + struct.pack("<f", 4.0)
        + b"\x02"  # +1
        + b"\x05"  # -3; the masked code between them is not sent
        + b"\x90\x03"  # +200: zigzag 400 = 0x10 + 128 * 3
    )
    same(apply_difference(data, OLD, MASK), new)


def test_no_change_is_a_method_a_count_of_scales_and_one_byte():
    assert encode_difference(OLD, OLD, MASK) == b"\x02\x00\x8e"
    same(apply_difference(b"\x02\x00\x8e", OLD, MASK), OLD)
    same(apply_difference(b"\x00" * 5, OLD, MASK), OLD)


def test_the_largest_steps_of_int32_survive():
    low, high = -(2**31), 2**31 - 1
    old, new = version([low, high], [1]), version([high, low], [1])
    mask = np.array([True, True])
    same(apply_difference(encode_difference(old, new, mask), old, mask), new)


def test_a_masked_code_may_not_change():
    with pytest.raises(AssertionError, match="masked"):
        encode_difference(OLD, version([5, 1, -7, 100], OLD.scales), MASK)


_SCALES = st.floats(2.0**-40, 2.0**40, width=32)


@st.composite
def pairs(draw):
    """(old, new, mask): versions whose codes and some of whose scales differ."""
    size, scales = draw(st.integers(0, 60)), draw(st.integers(0, 12))
    mask = draw(hnp.arrays(np.bool_, size))
    codes = st.one_of(st.integers(-127, 127), st.integers(-(2**31), 2**31 - 1))
    old = Codes(
        draw(hnp.arrays(np.int32, size, elements=codes)),
        draw(hnp.arrays(np.float32, scales, elements=_SCALES)),
    )
    step = draw(hnp.arrays(np.int32, size, elements=codes))
    keep = draw(hnp.arrays(np.bool_, scales))
    other = draw(hnp.arrays(np.float32, scales, elements=_SCALES))
    return old, Codes(np.where(mask, step, old.codes), np.where(keep, old.scales, other)), mask


@given(pairs())
def test_old_and_difference_give_new(pair):
    old, new, mask = pair
    same(apply_difference(encode_difference(old, new, mask), old, mask), new)


# fmt: off
BROKEN = {
    "nothing": ("", "method missing"),
    "no count": ("00", "0 numbers"),
    "more changes than scales": ("00 04", "4 changed scales"),
    "a scale cut short": ("00 01 00 0000", "byte 2 of 4"),
    "a scale beyond the last": ("00 01 03 0000803f 000000", "scale 3"),
    "a scale of zero": ("00 01 00 00000000 000000", "positive finite"),
    "an infinite scale": ("00 01 00 0000807f 000000", "positive finite"),
    "too few codes": ("00 00 0000", "2 numbers"),
    "too many codes": ("00 00 00000000", "1 bytes after"),
    "a code that never ends": ("00 00 00 00 80", "2 numbers"),
    "a code of six bytes": ("00 00 00 00 808080808000", "a number of 6 bytes"),
    "a code beyond int32": ("00 00 00 00 feffffff0f", "beyond 32 bits"),
}
# fmt: on


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_a_difference_of_these_versions_is_refused(data, message):
    with pytest.raises(CodecError, match=message):
        apply_difference(bytes.fromhex(data), OLD, MASK)


def test_packed_bytes_say_how_they_are_packed():
    assert pack(b"abc") == b"\x00abc"
    assert pack(bytes(100))[0] == 1
    assert pack(b"") == b"\x00"
    assert unpack(b"\x00abc", 3, "here") == b"abc"
    with pytest.raises(CodecError, match="here: found 3 bytes, allowed at most 2"):
        unpack(b"\x00abc", 2, "here")


@given(st.binary(max_size=2000), st.integers(1, 20))
def test_packing_loses_nothing_and_costs_at_most_a_byte(data, repeat):
    packed = pack(data * repeat)
    assert unpack(packed, len(data) * repeat, "here") == data * repeat
    assert len(packed) <= len(data) * repeat + 1


def test_packed_bytes_need_a_window_of_four_kilobytes_only(rng):
    data = rng.bytes(5000) * 2  # repeats itself beyond the window
    packed = pack(data)
    stream = zlib.decompressobj(-12)
    body = packed[1:]
    assert (stream.decompress(body) if packed[0] else body) == data


def test_a_base_file_survives_and_is_announced_by_size_and_digest():
    file = b"TFL3" + bytes(1000)
    data = pack_base(file)
    assert unpack_base(data, 1004) == file
    digest = hashlib.sha256(data).digest()
    assert manifest_of(Kind.BASE, data) == Manifest(Kind.BASE, len(data), digest, 0, 0)
    assert manifest_of(Kind.DIFFERENCE, data, 3, 5).target == 5
    assert manifest_of(Kind.BASE, data).id == digest[:8]
    with pytest.raises(CodecError, match="base: found a DEFLATE stream that goes on"):
        unpack_base(data, 1003)


def test_bombs_are_stopped_at_the_limit():
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"\x01" + stream.compress(bytes(64 * 1024 * 1024)) + stream.flush()
    tracemalloc.start()
    with pytest.raises(CodecError, match="goes on"):
        unpack_base(bomb, 50_000)
    with pytest.raises(CodecError, match="goes on"):
        apply_difference(bomb, OLD, MASK)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000
