"""Moves of codes: the C core beside the NumPy reference, for every kind of version and of damage."""

import numpy as np
import pytest

import core.moves as compiled
from core.codec import CodedError
from wire import moves
from wire.difference import Codes, Frame, apply_difference, carried, encode_difference
from wire.errors import CodecError

LOW, HIGH = -(2**31), 2**31 - 1
MOST = 2**30  # that the coder of differences takes

STEPS = {
    "hardly any": lambda rng, n: rng.normal(0, 1, n) * (rng.random(n) < 0.1),
    "a third": lambda rng, n: rng.normal(0, 2, n) * (rng.random(n) < 0.35),
    "by little": lambda rng, n: rng.normal(0, 1, n),
    "by much": lambda rng, n: rng.normal(0, 60, n),
    "beyond the last that counts": lambda rng, n: rng.normal(0, 3000, n),
    "one far": lambda rng, n: np.where(np.arange(n) == n // 2, MOST, rng.normal(0, 1, n)),
    "one too far": lambda rng, n: np.where(np.arange(n) == n // 2, MOST + 1, rng.normal(0, 1, n)),
    "not at all": lambda _, n: np.zeros(n),
    "between the ends of int32": lambda rng, n: rng.choice([float(LOW), 0.0, float(HIGH)], n),
}
MASKS = {
    "all": lambda _, n: np.ones(n, np.bool_),
    "none": lambda _, n: np.zeros(n, np.bool_),
    "half": lambda rng, n: rng.random(n) < 0.5,
    "all but one": lambda rng, n: np.arange(n) != rng.integers(n or 1),
}


def without_the_core(monkeypatch):
    monkeypatch.setattr(moves, "present", lambda: False)


def outcome(call, *arguments):
    """The bytes that a call gives, or its error's words."""
    try:
        given = call(*arguments)
    except (AssertionError, CodecError) as error:
        return type(error), str(error)
    return given if isinstance(given, bytes) else [part.tobytes() for part in given]


def pairs(rng, steps):
    """Versions that move so, under every mask, of many sizes, with and without grown scales."""
    for n in (0, 1, 2, 17, 300, 2000):
        for masked in MASKS.values():
            for grown in (1.0, 1.1, 2.0**-90, 2.0**90):
                mask, channels = masked(rng, n), rng.integers(0, 3, n).astype(np.int32)
                ends = rng.choice([LOW, -1, 0, HIGH], n)
                codes = np.where(rng.random(n) < 0.01, ends, rng.integers(-127, 128, n)).astype(
                    np.int32
                )
                old = Codes(codes, np.float32([0.5, 2.0**-20, 3.0]))
                scales = old.scales * np.float32([1, grown, 1])
                origin = carried(old, scales, Frame(mask, channels))
                moved = np.clip(origin + np.rint(steps(rng, n)), LOW, HIGH).astype(np.int32)
                yield old, Codes(np.where(mask, moved, codes), scales), Frame(mask, channels)


def damaged(rng, data):
    """The bytes themselves, cut short, with more behind them, and with some of them changed."""
    yield data
    yield data[: rng.integers(len(data) + 1)]
    yield data + rng.bytes(rng.integers(1, 9))
    for share in (0.003, 0.1, 0.5):
        octets = np.frombuffer(data, np.uint8)
        noise = rng.integers(0, 256, octets.size).astype(np.uint8)
        changed = np.where(rng.random(octets.size) < share, noise, octets)
        yield data[:2] + changed[2:].tobytes()  # what a difference begins with is left


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_the_core_and_the_reference_write_and_read_the_same_differences(steps, rng, monkeypatch):
    cases = list(pairs(rng, steps))
    written = [outcome(encode_difference, *case) for case in cases]
    tried = [
        (data, old, frame)
        for whole, (old, _, frame) in zip(written, cases, strict=True)
        for data in [*damaged(rng, whole), *damaged(rng, b"\0\0" + rng.bytes(old.codes.size))]
    ]
    read = [outcome(apply_difference, *each) for each in tried]
    assert any(isinstance(each, tuple) for each in read)  # refused
    without_the_core(monkeypatch)
    assert [outcome(encode_difference, *case) for case in cases] == written
    assert [outcome(apply_difference, *each) for each in tried] == read


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_the_core_itself_does_all_that_the_reference_does(steps, rng, monkeypatch):
    """Not only together with it: what the core refused would be found and read all the same."""
    without_the_core(monkeypatch)
    for old, new, frame in pairs(rng, steps):
        mask = frame.mask
        for origin in (old.codes, None):
            wanted = moves.find_moves(origin, new.codes, mask)
            values, often, found = compiled.find_moves(origin, new.codes, mask)
            assert values.tobytes() == wanted.values.tobytes()
            assert often.tobytes() == wanted.often.tobytes()
            assert (found.largest, found.moving) == (wanted.largest, wanted.moving)
            data = moves.write_moves(wanted.values)
            assert compiled.write_moves(values) == data
        zeros = np.where(mask, np.int32(0), new.codes)
        assert compiled.read_moves(data, zeros, mask).tobytes() == new.codes.tobytes()
        assert compiled.add_moves(new.codes[mask], zeros, mask).tobytes() == new.codes.tobytes()
        changed, ratios = old.scales != new.scales, old.scales / new.scales
        told = (old.codes, changed, ratios, frame.channels, mask)
        wanted, found = moves.carry_codes(*told), compiled.carry_codes(*told)
        assert (wanted is None) == (found is None)
        assert wanted is None or wanted.tobytes() == found.tobytes()


@pytest.mark.parametrize("ratio", [0.5, 1.5, 1e-3, 2.0**-149, 3e38, np.inf, np.nan, 0.0])
def test_codes_are_carried_over_to_the_same_by_any_ratio(ratio, rng, monkeypatch):
    """Halves, 2^23 and 2^24, where float32 ends to have fractions and odd integers, and 2^30."""
    near = [
        s * (e + d) for e in (0, 2**22, 2**23, 2**24, 2**30) for d in (0, 1, 3) for s in (1, -1)
    ]
    codes = np.int32([*near, LOW, HIGH, *rng.integers(-1000, 1000, 200)])
    mask, channels = np.ones(codes.size, np.bool_), np.zeros(codes.size, np.int32)
    told = (codes, np.array([True]), np.float32([ratio]), channels, mask)
    found = compiled.carry_codes(*told)
    without_the_core(monkeypatch)
    assert found.tolist() == moves.carry_codes(*told).tolist()


def test_a_masked_code_that_changed_is_found_by_both(rng, monkeypatch):
    codes, mask = rng.integers(-9, 9, 100).astype(np.int32), np.arange(100) != 40
    other = codes + (np.arange(100) == 40).astype(np.int32)
    with pytest.raises(CodedError, match="BAD_ARGUMENT"):
        compiled.find_moves(codes, other, mask)
    assert compiled.find_moves(None, other, mask)[2].count == 99
    for _ in range(2):
        with pytest.raises(AssertionError, match="masked"):
            moves.find_moves(codes, other, mask)
        without_the_core(monkeypatch)


def test_arrays_may_lie_anyhow_and_be_read_only(rng):
    spread = rng.integers(-99, 99, (2, 3, 200)).astype(np.int32)
    mask = np.repeat(rng.random(200) < 0.7, 2)[::2]
    scales = np.float32([1.0])
    frame = Frame(mask, np.zeros(400, np.int32)[::2])
    old = Codes(spread[0].T[:, 1], scales)
    new = Codes(np.where(mask, spread[1].T[:, 2], old.codes), scales)
    for array in (*old, *new, *frame):
        array.flags.writeable = False
    data = encode_difference(old, new, frame)
    whole = [Codes(np.array(each.codes), np.array(each.scales)) for each in (old, new)]
    assert encode_difference(*whole, Frame(np.array(mask), np.array(frame.channels))) == data
    assert apply_difference(data, old, frame).codes.tolist() == new.codes.tolist()


def test_a_channel_that_no_scale_has_is_not_looked_up():
    codes, mask = np.int32([1, 2]), np.array([True, True])
    for channel in (-1, 1, 2**30):
        with pytest.raises(CodedError, match="BAD_ARGUMENT"):
            compiled.carry_codes(
                codes, np.array([True]), np.float32([2]), np.int32([0, channel]), mask
            )


def test_moves_that_end_too_soon_are_refused_where_they_end():
    """Among the tests of a core that is checked (tests/core/test_checked.py): not behind it."""
    codes, mask = np.zeros(2000, np.int32), np.ones(2000, np.bool_)
    for data in (bytes(1000), b"\x80" * 4, bytes(1995) + b"\x80" * 4):
        with pytest.raises(CodedError, match="BAD_DATA"):
            compiled.read_moves(data, codes, mask)


def test_arrays_that_do_not_belong_together_are_not_read():
    codes, mask = np.zeros(4, np.int32), np.ones(4, np.bool_)
    changed, ratios = np.array([True]), np.float32([2.0])
    for call in (
        lambda: compiled.find_moves(codes[:3], codes, mask),
        lambda: compiled.find_moves(codes, codes, mask[:3]),
        lambda: compiled.read_moves(bytes(4), codes, mask[:3]),
        lambda: compiled.add_moves(np.zeros(3, np.int32), codes, mask),  # nothing lies behind it
        lambda: compiled.add_moves(np.zeros(5, np.int32), codes, mask),
        lambda: compiled.add_moves(codes, codes[:3], mask[:3]),
        lambda: compiled.carry_codes(codes, changed, ratios, codes[:3], mask),
        lambda: compiled.carry_codes(codes, changed[:0], ratios, codes, mask),
    ):
        with pytest.raises(CodedError, match="BAD_ARGUMENT"):
            call()
