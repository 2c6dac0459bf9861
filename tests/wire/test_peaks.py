"""The codec peaks: the C core beside the Python reference, and what a rotation must give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core import codec as compiled
from wire.codec import CODECS
from wire.codecs import peaks
from wire.errors import CodecError

PEAKS = CODECS["peaks"]


@st.composite
def deltas(draw):
    """Values of every magnitude that is allowed, of many sizes, none and one among them."""
    n = draw(st.one_of(st.integers(0, 40), st.sampled_from([64, 259, 1000, 1025])))
    value = st.floats(-(2.0**19), 2.0**19, width=32)
    small = st.floats(-0.125, 0.125, width=32)
    elements = draw(st.sampled_from([value, small, st.sampled_from([0.0, 0.5, -0.5, 2.0**-30])]))
    return draw(hnp.arrays(np.float32, n, elements=elements))


@given(deltas(), st.integers(3, 200), st.integers(0, 255))
def test_the_core_and_the_reference_write_the_same_update(delta, budget, seed):
    data = peaks.write(delta, budget, seed)
    assert compiled.encode_peaks(delta, budget, seed) == data
    assert len(data) <= budget
    values = peaks.read(data, delta.size)
    assert compiled.decode_peaks(data, delta.size).tobytes() == values.tobytes()


@settings(max_examples=400)
@given(st.integers(0, 400), st.binary(max_size=80))
def test_the_core_and_the_reference_take_and_refuse_the_same_bytes(n, data):
    try:
        found = peaks.read(data, n)
    except CodecError:
        with pytest.raises(compiled.CodedError):
            compiled.decode_peaks(data, n)
    else:
        assert np.isfinite(found).all()
        assert compiled.decode_peaks(data, n).tobytes() == found.tobytes()


def test_without_the_core_the_reference_does_the_same(rng, monkeypatch):
    delta = rng.standard_normal(900).astype(np.float32)
    data = PEAKS.encode(delta, (0, 900), 40, seed=77)
    decoded = PEAKS.decode(data, 900, (0, 900))
    monkeypatch.setattr(peaks, "present", lambda: False)
    assert PEAKS.encode(delta, (0, 900), 40, seed=77) == data
    assert PEAKS.decode(data, 900, (0, 900)).tobytes() == decoded.tobytes()
    with pytest.raises(CodecError, match="update"):
        PEAKS.decode(b"", 900, (0, 900))


@pytest.mark.parametrize("n", [1, 2, 63, 1000, 1024, 1025])
def test_a_rotation_keeps_lengths_and_turns_back(n, rng):
    values = rng.standard_t(2, size=n).astype(np.float32)
    turned = peaks.turn(values, 5)
    np.testing.assert_allclose(np.linalg.norm(turned), np.linalg.norm(values), rtol=1e-5)
    np.testing.assert_allclose(peaks.turn_back(turned, 5), values, atol=1e-5 * abs(values).max())


@pytest.mark.parametrize("n", [1000, 1024, 2047])
def test_one_large_value_is_spread_over_all(n, rng):
    for at in rng.integers(n, size=5):
        values = np.zeros(n, np.float32)
        values[at] = 1
        assert np.abs(peaks.turn(values, 9)).max() < 8 / np.sqrt(n)


@pytest.mark.parametrize("n", [700, 1000, 1024])
def test_the_mean_over_rotations_is_the_update(n, rng):
    """Unbiased, also where one half of the values is ten times as large as the other."""
    delta = (0.001 * rng.laplace(size=n)).astype(np.float32)
    delta[n // 2 :] *= 10
    estimates = [PEAKS.decode(PEAKS.encode(delta, (0, n), 20, s), n, ()) for s in range(256)]
    mean = np.mean(estimates, axis=0)
    for part in (slice(0, n // 2), slice(n // 2, n)):
        along = mean[part] @ delta[part] / (delta[part] @ delta[part])
        assert along == pytest.approx(1, abs=0.25)
    one, all_ = (np.linalg.norm(np.mean(estimates[:m], axis=0) - delta) for m in (1, 256))
    assert all_ < 2 * one / np.sqrt(256)


def test_fewer_bytes_make_larger_cells_down_to_a_bit_for_each_value():
    assert peaks.cells_of(4096, 12) == (8, 9)  # 80 bits: eight of 9 + 1
    assert peaks.cells_of(4096, 34) == (32, 7)  # 256 bits: 32 cells of 128 cover all values
    assert peaks.cells_of(4096, 514) == (2048, 1)
    assert peaks.cells_of(3, 3) == (3, 0)


def test_no_budget_reserves_more_than_a_bit_for_each_value():
    """A task may say four gigabytes, which the core cannot even count."""
    assert peaks.budget_of(2**32 - 1, 100) == 15
    assert peaks.budget_of(9, 100) == 9
    assert peaks.budget_of(1, 0) == peaks.LEAST_BUDGET


@pytest.mark.parametrize("budget", [3, 10, 33, 200])
def test_a_budget_is_met_to_the_byte_until_every_value_has_a_bit(budget, rng):
    delta = rng.standard_normal(1000).astype(np.float32)
    assert len(PEAKS.encode(delta, (0, 1000), budget)) == min(budget, 2 + 125)


def test_an_update_of_nothing_decodes_to_nothing():
    for n in (0, 1, 3702):
        data = PEAKS.encode(np.zeros(n, np.float32), (0, n), 10)
        assert not PEAKS.decode(data, n, (0, n)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**20])
def test_values_that_training_must_not_give_are_refused(value):
    with pytest.raises(CodecError, match="delta"):
        PEAKS.encode(np.float32([1.0, value]), (0, 2))
