"""The microfed codec: the C core beside the Python reference, budgets, and hostile bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core import codec as compiled
from wire.codec import CODECS
from wire.codecs import microfed, symbols
from wire.coder import COUNTS, GAPS, LEVELS, ONE, Reader, Writer, number
from wire.errors import CodecError

MICROFED = CODECS["microfed"]


@st.composite
def shapes(draw, largest=60):
    """Bounds of up to six tensors, some of them empty."""
    sizes = draw(st.lists(st.integers(0, largest), min_size=1, max_size=6))
    return tuple(int(b) for b in np.cumsum([0, *sizes]))


@st.composite
def updates(draw):
    """(delta, bounds): values of every magnitude that is allowed, most of them often small."""
    bounds = draw(shapes())
    value = st.floats(-(2.0**19), 2.0**19, width=32)
    small = st.floats(-0.125, 0.125, width=32)
    elements = draw(st.sampled_from([value, small, st.sampled_from([0.0, 0.5, -0.5, 2.0**-30])]))
    return draw(hnp.arrays(np.float32, bounds[-1], elements=elements)), bounds


@given(updates(), st.integers(4, 400))
def test_the_core_and_the_reference_write_the_same_update(update, budget):
    delta, bounds = update
    data = symbols.encode(delta, bounds, budget)
    assert compiled.encode_update(delta, bounds, budget) == data
    assert len(data) <= budget
    values = symbols.decode(data, bounds)
    np.testing.assert_array_equal(compiled.decode_update(data, bounds), values)


@given(shapes(), st.data())
def test_the_core_and_the_reference_write_the_same_codes(bounds, data):
    element = st.one_of(st.just(0), st.integers(-3, 3), st.integers(-(2**30), 2**30))
    codes = data.draw(hnp.arrays(np.int32, bounds[-1], elements=element))
    coded = symbols.write_symbols(codes, bounds, microfed.MOST)
    assert compiled.encode_codes(codes, bounds, 16 + 9 * codes.size) == coded
    np.testing.assert_array_equal(compiled.decode_codes(coded, bounds), codes)
    np.testing.assert_array_equal(symbols.read_symbols(coded, bounds, microfed.MOST), codes)


@settings(max_examples=400)
@given(shapes(largest=400), st.binary(max_size=80))
def test_the_core_and_the_reference_take_and_refuse_the_same_bytes(bounds, data):
    for ours, theirs in (
        (lambda: symbols.decode(data, bounds), lambda: compiled.decode_update(data, bounds)),
        (
            lambda: symbols.read_symbols(data, bounds, microfed.MOST),
            lambda: compiled.decode_codes(data, bounds),
        ),
    ):
        try:
            found = ours()
        except CodecError:
            with pytest.raises(compiled.CodedError):
                theirs()
        else:
            np.testing.assert_array_equal(theirs(), found)
            assert np.isfinite(found).all()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([COUNTS, GAPS, LEVELS]),
            st.integers(0, 2**30),
            st.integers(0, 2**30),
            st.integers(0, 2**20),
        )
    )
)
def test_a_reader_finds_the_numbers_that_were_written(rows):
    rows = [(kind, min(a, b), max(a, b), usual) for kind, a, b, usual in rows]
    writer = Writer()
    for kind, value, most, usual in rows:
        number(writer, kind, value, most, usual)
    reader = Reader(writer.finish())
    for kind, value, most, usual in rows:
        assert number(reader, kind, 0, most, usual) == value
    reader.finish()


def test_a_carry_runs_through_bytes_that_were_written():
    """Decisions that all take the upper part push low against the end of the range."""
    bits = [0] * 400 + [1, 0] * 40
    writer = Writer()
    for bit in bits:
        writer.bit(0, bit)
    reader = Reader(writer.finish())
    assert [reader.bit(0, 0) for _ in bits] == bits


def heavy_tailed(rng, n):
    return (rng.standard_t(3, size=n) * 0.01).astype(np.float32)


@pytest.mark.parametrize("budget", [50, 111, 345, 2000, 9000])
def test_a_budget_is_met_within_two_percent_or_a_value(rng, budget):
    data = MICROFED.encode(heavy_tailed(rng, 11_043), (0, 2000, 2024, 11_043), budget)
    assert budget - max(2, 0.02 * budget) <= len(data) <= budget


def test_what_is_sent_are_the_largest_values_within_a_step(rng):
    delta = heavy_tailed(rng, 5000)
    sent = MICROFED.decode(MICROFED.encode(delta, (0, 5000), 200), 5000, (0, 5000))
    kept = sent != 0
    assert 150 < kept.sum() < 400
    assert np.abs(delta[kept]).min() >= np.abs(delta[~kept]).max()
    assert np.abs(sent - delta)[kept].max() < np.abs(delta[kept]).min()
    np.testing.assert_array_equal(np.sign(sent[kept]), np.sign(delta[kept]))


def test_with_all_the_bytes_it_wants_it_loses_a_thirty_thousandth(rng):
    delta = heavy_tailed(rng, 700)
    sent = MICROFED.decode(MICROFED.encode(delta, (0, 700), 10_000), 700, (0, 700))
    assert np.abs(sent - delta).max() <= np.abs(delta).max() / 30_000


def test_an_update_of_nothing_takes_a_few_bytes():
    for n in (0, 1, 11_043):
        data = MICROFED.encode(np.zeros(n, np.float32), (0, n))
        assert 1 <= len(data) <= 4
        assert not MICROFED.decode(data, n, (0, n)).any()


def test_a_small_model_fits_into_300_bytes_on_the_wire_with_all_its_values(rng):
    """Bar 4.5: an Offer has at most 90 bytes beside its data."""
    delta = heavy_tailed(rng, 259)
    bounds = (0, 192, 208, 256, 259)
    data = MICROFED.encode(delta, bounds, 210)
    error = MICROFED.decode(data, 259, bounds) - delta
    assert np.linalg.norm(error) < 0.08 * np.linalg.norm(delta)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**20])
def test_values_that_training_must_not_give_are_refused(value):
    with pytest.raises(CodecError, match="delta"):
        MICROFED.encode(np.float32([1.0, value]), (0, 2))


def test_without_the_core_the_reference_does_the_same(rng, monkeypatch):
    delta, bounds = heavy_tailed(rng, 900), (0, 300, 900)
    data = MICROFED.encode(delta, bounds)
    codes = (delta * 100).astype(np.int32)
    coded = microfed.code_differences(codes)
    monkeypatch.setattr(microfed, "present", lambda: False)
    assert MICROFED.encode(delta, bounds) == data
    assert microfed.code_differences(codes) == coded
    np.testing.assert_array_equal(microfed.read_differences(coded, 900), codes)
    with pytest.raises(CodecError):
        MICROFED.decode(b"\xff" * 4, 900, bounds)


def test_the_coder_takes_what_the_information_takes(rng):
    """Bar 4.4: within 3 % of the sum of −log2 of the chances that its own contexts gave."""
    ideal = 0.0

    class Weighed(Writer):
        def bit(self, context, bit):
            nonlocal ideal
            chance = self._contexts.chance[context] / ONE
            ideal -= np.log2(chance if bit else 1 - chance)
            return super().bit(context, bit)

        def plain(self, value, bits):
            nonlocal ideal
            ideal += bits
            return super().plain(value, bits)

    quantized, scale = symbols.quantize(heavy_tailed(rng, 11_043), np.float32(0.04))
    writer = Weighed()
    symbols.code_scale(writer, scale)
    symbols.code_symbols(writer, quantized, (0, 2000, 11_043), symbols.MOST_LEVEL)
    assert len(writer.finish()) * 8 <= 1.03 * ideal
