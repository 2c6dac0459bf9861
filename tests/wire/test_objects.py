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

from wire.base import Form, Run, coded, pack_base, unpack_base
from wire.codecs.microfed import MOST
from wire.difference import (
    Codes,
    Frame,
    apply_difference,
    carried,
    changed_scales,
    check_of,
    encode_difference,
    packed,
)
from wire.difference import coded as in_one_way
from wire.errors import CodecError
from wire.messages import Kind, Manifest
from wire.objects import manifest_of
from wire.packing import pack, unpack


def version(codes, scales):
    return Codes(np.array(codes, np.int32), np.array(scales, np.float32))


OLD = version([5, 0, -7, 100], [0.5, 0.25, 2.0])
MASK = np.array([True, False, True, True])
FRAME = Frame(MASK, np.int32([0, 0, 1, 2]))


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
    same(apply_difference(data, OLD, FRAME), new)


def test_no_change_is_a_method_a_count_of_scales_and_one_byte():
    assert encode_difference(OLD, OLD, FRAME) == b"\x02\x00\x8e"
    same(apply_difference(b"\x02\x00\x8e", OLD, FRAME), OLD)
    same(apply_difference(b"\x00" * 5, OLD, FRAME), OLD)


def test_the_largest_steps_of_int32_survive():
    low, high = -(2**31), 2**31 - 1
    old, new = version([low, high], [1]), version([high, low], [1])
    frame = Frame(np.array([True, True]), np.int32([0, 0]))
    same(apply_difference(encode_difference(old, new, frame), old, frame), new)


def test_a_masked_code_may_not_change():
    with pytest.raises(AssertionError, match="masked"):
        encode_difference(OLD, version([5, 1, -7, 100], OLD.scales), FRAME)


_SCALES = st.floats(2.0**-40, 2.0**40, width=32)


@st.composite
def pairs(draw):
    """(old, new, frame): versions whose codes and some of whose scales differ."""
    size, scales = draw(st.integers(0, 60)), draw(st.integers(1, 12))
    mask = draw(hnp.arrays(np.bool_, size))
    codes = st.one_of(st.integers(-127, 127), st.integers(-(2**31), 2**31 - 1))
    old = Codes(
        draw(hnp.arrays(np.int32, size, elements=codes)),
        draw(hnp.arrays(np.float32, scales, elements=_SCALES)),
    )
    step = draw(hnp.arrays(np.int32, size, elements=codes))
    keep = draw(hnp.arrays(np.bool_, scales))
    other = draw(hnp.arrays(np.float32, scales, elements=_SCALES))
    channels = draw(hnp.arrays(np.int32, size, elements=st.integers(0, scales - 1)))
    new = Codes(np.where(mask, step, old.codes), np.where(keep, old.scales, other))
    return old, new, Frame(mask, channels)


@given(pairs())
def test_old_and_difference_give_new(pair):
    old, new, frame = pair
    same(apply_difference(encode_difference(old, new, frame), old, frame), new)


def test_codes_are_carried_over_to_a_scale_that_grew():
    """5 · 0.5 is 2.5 of the new scale, halves go to even; masked codes and other scales stay."""
    assert carried(OLD, np.float32([1, 0.25, 8]), FRAME).tolist() == [2, 0, -7, 25]
    huge = version([2**30, 7], [2.0**60, 1])
    frame = Frame(np.array([True, True]), np.int32([0, 1]))
    assert carried(huge, np.float32([2.0**-60, 1]), frame).tolist() == [0, 7]


def test_a_difference_is_of_what_the_codes_were_carried_over_to():
    rng = np.random.default_rng(5)
    frame = Frame(np.ones(400, np.bool_), np.zeros(400, np.int32))
    old = version(rng.integers(-127, 128, 400), [1.0])
    grown = version(np.rint(old.codes / 1.1), [1.1])
    data = encode_difference(old, grown, frame)
    assert data[0] == 3
    assert len(data) < 20
    same(apply_difference(data, old, frame), grown)


def test_the_whole_version_travels_when_it_is_shorter_than_its_difference():
    rng = np.random.default_rng(5)
    frame = Frame(np.ones(400, np.bool_), np.zeros(400, np.int32))
    old = version(rng.integers(-127, 128, 400), [1.0])
    calm = version(rng.integers(-3, 4, 400), [1.0])
    data = encode_difference(old, calm, frame)
    assert data[0] == 4
    same(apply_difference(data, old, frame), calm)
    same(apply_difference(data, version(np.zeros(400), [1.0]), frame), calm)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.24, 0.26, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("spread", [0.6, 3, 30, 3000])
@pytest.mark.parametrize("grows", [False, True])
def test_the_way_that_is_chosen_is_hardly_longer_than_the_shortest(share, spread, grows, rng):
    n = 6000
    frame = Frame(np.ones(n, np.bool_), np.arange(n, dtype=np.int32) % 4)
    old = version(np.rint(rng.normal(0, 30, n)), [1.0, 1.0, 1.0, 1.0])
    moves = np.where(rng.random(n) < share, np.rint(rng.normal(0, spread, n)), 0)
    scales = np.float32([1.0, 1.0, 1.0, 1.25 if grows else 1.0])
    new = version(carried(old, scales, frame) + moves, scales)
    data = encode_difference(old, new, frame)
    same(apply_difference(data, old, frame), new)
    wanted, changes = new.codes.astype(np.int64), changed_scales(old.scales, scales)
    origins = {2: old.codes, 3: carried(old, scales, frame), 4: 0}
    ways = [in_one_way(how, changes, wanted - origin) for how, origin in origins.items()]
    assert len(data) <= 1.1 * min(map(len, [packed(changes, wanted - old.codes), *ways]))


def test_codes_that_move_by_one_anywhere_are_coded_however_many_they_are():
    rng = np.random.default_rng(5)
    frame = Frame(np.ones(4000, np.bool_), np.zeros(4000, np.int32))
    old = version(rng.integers(-127, 128, 4000), [1.0])
    for share in (0.1, 0.25, 0.4, 0.6, 0.9):
        moves = rng.choice([-1, 1], 4000) * (rng.random(4000) < share)
        assert encode_difference(old, version(old.codes + moves, [1.0]), frame)[0] == 2, share


def test_a_code_that_moves_too_far_for_the_coder_leaves_the_others_packed():
    rng = np.random.default_rng(5)
    frame = Frame(np.ones(4000, np.bool_), np.zeros(4000, np.int32))
    old = version([2**30, *rng.integers(-127, 128, 3999)], [1.0])
    data = encode_difference(old, version([-1, *old.codes[1:]], [1.0]), frame)
    assert data[0] < 2
    assert len(data) < 40


@pytest.mark.parametrize("sign", [1, -1])
def test_a_code_may_move_by_two_to_the_thirty_in_the_coder_and_no_further(sign):
    """At the very end packing takes a byte less, but nobody tries it."""
    frame = Frame(np.ones(40, np.bool_), np.zeros(40, np.int32))
    old = version(np.zeros(40), [1.0])
    for move, ways in ((MOST, {2}), (MOST + 1, {0, 1})):
        new = version([*old.codes[1:], sign * move], [1.0])
        data = encode_difference(old, new, frame)
        assert data[0] in ways, move
        same(apply_difference(data, old, frame), new)


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
        apply_difference(bytes.fromhex(data), OLD, FRAME)


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


# Two weights, a bias of one, its scale, and what the scale is the product of.
SMALL = (
    b"head" + struct.pack("<ff", 0.5, 0.1) + b"\x05\xff" + struct.pack("<i", 300)
    + struct.pack("<f", np.float32(0.5) * np.float32(0.1)) + b"tail"
)  # fmt: skip
SMALL_RUNS = (
    Run(12, Form.INT8, 2),
    Run(14, Form.INT32, 1),
    Run(18, Form.PRODUCTS, 1, factors=4, factor=8),
)


def test_a_coded_base_lists_its_runs_and_keeps_the_rest():
    file = SMALL + bytes(200)
    data = coded(file, SMALL_RUNS)
    listed = "02 03  0c 08  00 05  00 06 04 08"
    assert data.startswith(bytes.fromhex(listed))
    size = data[len(bytes.fromhex(listed))]
    rest = data[len(bytes.fromhex(listed)) + 1 + size :]
    free = [i for i in range(len(file)) if not 12 <= i < 22]
    lanes = [i for lane in range(4) for i in free if i % 4 == lane]
    assert unpack(rest, 999, "rest") == bytes(file[i] for i in lanes)
    assert unpack_base(data, len(file)) == file
    with pytest.raises(CodecError):
        unpack_base(data, len(file) - 1)


@given(st.data(), st.integers(0, 2**32 - 1))
def test_a_base_with_any_numbers_in_its_runs_comes_back(data, seed):
    rng = np.random.default_rng(seed)
    runs, at = [], 12
    for form in data.draw(st.lists(st.sampled_from(list(Form)), max_size=6)):
        runs.append(Run(at + int(rng.integers(9)), form, int(rng.integers(30)), 0, 8))
        at = runs[-1].end
    runs = [run if run.form is not Form.PRODUCTS else run._replace(size=1) for run in runs]
    file = rng.bytes(at + 40)
    file = struct.pack("<fff", 0.3, 1.0, 0.7) + file[12:]
    runs = [run for i, run in enumerate(runs) if not i or run.at >= runs[i - 1].end]
    if runs:
        assert unpack_base(coded(file, tuple(runs)), len(file)) == file
    packed = pack_base(file, tuple(runs))
    assert unpack_base(packed, len(file)) == file
    assert len(packed) <= len(file) + 1


def test_a_run_of_products_has_only_what_rounding_left(rng):
    """A converter's own rounding is a unit in the last place: a symbol of 1."""
    own, shared = rng.random(50).astype("<f4"), np.float32(0.0123)
    products = (own * shared).view("<i4") + rng.integers(-1, 2, 50).astype("<i4")
    file = own.tobytes() + shared.tobytes() + products.astype("<i4").tobytes()
    data = pack_base(file, (Run(204, Form.PRODUCTS, 50, 0, 200),))
    assert unpack_base(data, len(file)) == file
    assert len(data) < 204 + 40


# fmt: off
BAD_BASES = {
    "no runs": ("02 00", "no runs"),
    "a list cut short": ("02 02 0c 08", "numbers"),
    "a form that is none": ("02 01 00 07", "form 3"),
    "a run behind the limit": ("02 01 00 a01f", "ends at"),
    "less than lies between runs": ("02 01 04 04 01 00 00 0000", "2 bytes beside"),
    "nothing behind the list": ("02 01 00 04", "numbers"),
    "no packed bytes": ("02 01 00 04 01 00", "method missing"),
}
# fmt: on


@pytest.mark.parametrize(("data", "message"), BAD_BASES.values(), ids=BAD_BASES)
def test_what_is_not_a_base_is_refused(data, message):
    with pytest.raises(CodecError, match=message):
        unpack_base(bytes.fromhex(data), 900)


def test_bombs_are_stopped_at_the_limit():
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"\x01" + stream.compress(bytes(64 * 1024 * 1024)) + stream.flush()
    tracemalloc.start()
    with pytest.raises(CodecError, match="goes on"):
        unpack_base(bomb, 50_000)
    with pytest.raises(CodecError, match="goes on"):
        apply_difference(bomb, OLD, FRAME)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000
