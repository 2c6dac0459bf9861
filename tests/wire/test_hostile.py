"""Any bytes at all: each entry to the wire answers with its value or its error, in bounded memory."""

import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire.strategies import damaged, messages, parts, payloads
from wire.base import Form, Run, pack_base, unpack_base
from wire.blocks import Assembly, block_of, serve
from wire.cbor import MAX_PAYLOAD, decode, encode
from wire.codec import CODECS
from wire.difference import Codes, Frame, apply_difference, encode_difference
from wire.errors import CodecError, CorruptObject, WireError
from wire.messages import TYPES, Block, Kind, Need
from wire.objects import manifest_of

many = settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])

BOUNDS = (0, 40, 44, 60, 61)
N = BOUNDS[-1]
_RNG = np.random.default_rng(1)
UPDATES = [
    (_RNG.standard_t(2, N) * _RNG.choice([0, 1e-3, 1], N)).astype(np.float32) for _ in range(8)
]
OLD = Codes(_RNG.integers(-127, 128, 50).astype(np.int32), np.ones(6, np.float32))
MASK = _RNG.random(50) < 0.6
FRAME = Frame(MASK, (np.arange(50) % 6).astype(np.int32))
NEW = Codes(
    np.where(MASK, OLD.codes + _RNG.integers(-3, 4, 50), OLD.codes).astype(np.int32),
    np.float32([1, 1, 2, 1, 1, 0.5]),
)


def noise(good):
    """Bytes from nowhere, and good ones that were damaged."""
    return st.one_of(st.binary(max_size=200), st.sampled_from(good), damaged(st.sampled_from(good)))


@many
@given(payloads())
def test_any_payload_is_a_message_or_a_wire_error(payload):
    try:
        message = decode(payload)
    except WireError:
        return
    assert type(message) in TYPES.values()
    assert decode(encode(message)) == message


def test_twenty_thousand_mutated_messages_are_messages_or_wire_errors(rng):
    chance = Random(int(rng.integers(2**32)))
    good = []
    settings(max_examples=100)(given(messages())(lambda m: good.append(encode(m))))()
    taken = 0
    for _ in range(20_000):
        payload = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(payload) + 1)
            payload[at : at + chance.choice((0, 1, 1, 3))] = chance.randbytes(chance.choice((0, 1)))
        try:
            decode(bytes(payload))
            taken += 1
        except WireError:
            pass
    assert 100 < taken < 19_000


@settings(max_examples=300)
@given(st.one_of(parts(Block), parts(Need)))
def test_any_block_or_need_is_refused_or_served(message):
    data = bytes(range(200))
    manifest = manifest_of(Kind.UPDATE, data)
    if isinstance(message, Need):
        assert all(len(b.data) <= message.block for b in serve(message, {message.id: data}))
        return
    with pytest.raises(WireError):
        Assembly(manifest, 16).add(message)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 6), st.binary(max_size=20)), max_size=40)
)
def test_an_assembly_ends_with_the_object_or_nothing_whatever_blocks_come(arrivals):
    data = bytes(range(200))
    manifest = manifest_of(Kind.UPDATE, data)
    assembly = Assembly(manifest, 16)
    for index, damage, noise_ in arrivals:
        block = block_of(data, manifest.id, min(index, 12), 16)
        changes = (
            {},
            {"data": noise_, "crc": zlib.crc32(noise_)},
            {"data": noise_},
            {"index": index},
            {"total": index},
            {"id": (noise_ + bytes(8))[:8]},
            {"crc": len(noise_)},
        )
        try:
            assembly.add(replace(block, **changes[damage]))
        except WireError:
            continue
        if assembly.done:
            try:
                assert assembly.result() == data
            except CorruptObject:
                assert not assembly.done
    assert assembly.done == (assembly.missing() is None)


@pytest.mark.parametrize("name", CODECS)
def test_any_bytes_decode_to_n_finite_values_or_a_codec_error(name):
    codec = CODECS[name]

    @many
    @given(noise([codec.encode(update, BOUNDS) for update in UPDATES]))
    def check(data):
        try:
            delta = codec.decode(data, N, BOUNDS)
        except CodecError:
            return
        assert (delta.dtype, delta.shape) == (np.float32, (N,))
        assert np.isfinite(delta).all()

    check()


@many
@given(noise([encode_difference(OLD, NEW, FRAME), encode_difference(OLD, OLD, FRAME)]))
def test_any_bytes_are_a_difference_or_a_codec_error(data):
    try:
        new = apply_difference(data, OLD, FRAME)
    except CodecError:
        return
    assert (new.codes.dtype, new.codes.shape) == (np.int32, (50,))
    np.testing.assert_array_equal(new.codes[~MASK], OLD.codes[~MASK])
    assert np.all(np.isfinite(new.scales) & (new.scales > 0))


RUNS = (Run(8, Form.INT8, 500), Run(512, Form.INT32, 20), Run(600, Form.PRODUCTS, 1, 0, 4))
WEIGHTS = (_RNG.normal(0, 9, 500) * (_RNG.random(500) < 0.5)).astype(np.int8).tobytes()
CODED_BASE = pack_base(np.float32([2, 3]).tobytes() + WEIGHTS + bytes(392), RUNS)
assert CODED_BASE[0] == 2


@settings(max_examples=600)
@given(noise([pack_base(bytes(900)), pack_base(bytes(range(256))), CODED_BASE]))
def test_any_bytes_are_a_base_within_the_limit_or_a_codec_error(data):
    with suppress(CodecError):
        assert len(unpack_base(data, 900)) <= 900


def _bomb(size):
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(bytes(size)) + stream.flush()


def _head(major, n):
    return bytes([major << 5 | 26]) + n.to_bytes(4)


_LIE = bytes.fromhex("a4 00 01 01 07 02 01 1a000000ff")
_KEYS = b"".join(
    b"\x8d" + bytes(0x20 | i >> b & 1 for b in range(13)) + b"\x00" for i in range(8192)
)
# fmt: off
LARGE = {
    "a string that claims 4 GB": _LIE + _head(2, 2**32 - 1) + bytes(130_000),
    "an array that claims 2^32 items": _LIE + _head(4, 2**32 - 1) + bytes(130_000),
    "a map that claims 2^32 keys": _LIE + _head(5, 2**32 - 1) + bytes(130_000),
    "130,000 nested arrays": b"\x81" * 130_000,
    "130,000 empty maps": _LIE + _head(4, 130_000) + b"\xa0" * 130_000,
    "8,192 keys with one hash": b"\xb9\x20\x00" + _KEYS,
    "a bignum of a million bits": _LIE + b"\xc2" + _head(2, 130_000) + b"\xff" * 130_000,
    "a text of 130,000 accents": _LIE + _head(3, 130_000) + "é".encode() * 65_000,
}
# fmt: on


@pytest.mark.parametrize("payload", LARGE.values(), ids=LARGE)
def test_no_payload_makes_more_memory_than_a_few_times_its_size(payload):
    assert len(payload) <= MAX_PAYLOAD
    tracemalloc.start()
    with suppress(WireError):
        decode(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_PAYLOAD


def test_no_object_makes_more_memory_than_what_it_should_decode_to():
    bomb, much = _bomb(32 * 1024 * 1024), bytes(500_000)
    attacks = [
        lambda: CODECS["int8"].decode(b"\x01\x00\x00\x80\x3f\x01" + bomb, 5000, (0, 5000)),
        lambda: apply_difference(b"\x01" + bomb, OLD, FRAME),
        lambda: unpack_base(b"\x01" + bomb, 50_000),
        lambda: CODECS["float32"].decode(much, 5000, (0, 5000)),
    ]
    for attack in attacks:
        tracemalloc.start()
        with pytest.raises(CodecError):
            attack()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 300_000
