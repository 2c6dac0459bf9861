"""LEB128, one number at a time and many at once: at the ends of every length, and beyond."""

import numpy as np
import pytest

from wire.difference import Codes, Frame, apply_difference, changed_scales, encode_difference
from wire.errors import CodecError
from wire.leb128 import BYTES, leb128, leb128_of, number, numbers

LARGEST = 2**35 - 1
WRITTEN = {
    0: "00",
    127: "7f",
    128: "80 01",
    16383: "ff 7f",
    16384: "80 80 01",
    LARGEST: "ff ff ff ff 7f",
}
NEXT = b"\x80\x01"  # behind a number: what would be taken along by one who reads too far


@pytest.mark.parametrize(("value", "written"), WRITTEN.items())
def test_one_number_is_written_and_read_as_many_are(value, written):
    data = bytes.fromhex(written)
    assert leb128_of(value) == data == leb128(np.int64([value]))
    assert number(NEXT + data + NEXT, 2, "here") == (value, 2 + len(data))
    many, end = numbers(NEXT + data + NEXT, 2, 1, "here")
    assert (many.tolist(), end) == ([value], 2 + len(data))


def test_numbers_of_every_length_follow_one_another():
    written = b"".join(map(bytes.fromhex, WRITTEN.values()))
    assert leb128(np.int64(list(WRITTEN))) == written
    many, end = numbers(written + NEXT, 0, len(WRITTEN), "here")
    assert (many.tolist(), end) == (list(WRITTEN), len(written))


@pytest.mark.parametrize("more", [BYTES, BYTES + 1])
def test_a_number_of_more_than_five_bytes_is_refused(more):
    """Even one that is 0, and has an end."""
    data = b"\x80" * more + b"\x00"
    with pytest.raises(CodecError, match="here: found 0 numbers, allowed 1"):
        number(data, 0, "here")
    with pytest.raises(CodecError, match="here: found"):
        numbers(data, 0, 1, "here")


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 4])
def test_a_number_that_is_cut_short_is_refused(data):
    with pytest.raises(CodecError, match="here: found 0 numbers, allowed 1"):
        number(data, 0, "here")
    with pytest.raises(CodecError, match="here: found 0 numbers, allowed 1"):
        numbers(data, 0, 1, "here")


@pytest.mark.parametrize("gap", [127, 128, 300])
def test_many_scales_may_stay_before_one_that_changes(gap):
    frame = Frame(np.ones(gap + 2, np.bool_), np.arange(gap + 2, dtype=np.int32))
    old = Codes(np.full(gap + 2, 3, np.int32), np.ones(gap + 2, np.float32))
    new = Codes(old.codes + np.int32(1), old.scales.copy())
    new.scales[gap] = 2.0
    changes = changed_scales(old.scales, new.scales)
    assert changes == b"\x01" + leb128(np.int64([gap])) + np.float32(2).tobytes()
    found = apply_difference(encode_difference(old, new, frame), old, frame)
    assert found.codes.tolist() == new.codes.tolist()
    assert found.scales.tolist() == new.scales.tolist()
