"""Checksums, hashes, half floats and inflate: the node's agree with Python's."""

import ctypes
import zlib
from hashlib import blake2b, sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.packing import DEFLATED, pack

END, BAD = -1, -2
STREAM = 8192  # bytes: more than an mf_inflate has


def inflate(node, data: bytes, most: int = 100_000) -> bytes | None:
    """What a stream decodes to; None: it is refused."""
    stream, out = ctypes.create_string_buffer(STREAM), bytearray()
    node.mf_inflate_begin(stream, data, len(data))
    while (byte := node.mf_inflate_next(stream)) >= 0 and len(out) < most:
        out.append(byte)
    assert byte in (END, BAD)
    return bytes(out) if byte == END else None


def by_zlib(data: bytes) -> bytes | None:
    stream = zlib.decompressobj(-12)
    try:
        out = stream.decompress(data, 100_000)
    except zlib.error:
        return None
    return out if stream.eof and not stream.unused_data else None


def deflated(data: bytes, level: int, strategy: int) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -12, 9, strategy)
    return stream.compress(data) + stream.flush()


@given(data=st.binary(max_size=300))
def test_crc_and_hashes_are_the_standard_ones(node, data):
    node.mf_crc32.restype = ctypes.c_uint32
    assert node.mf_crc32(0, data, len(data)) == zlib.crc32(data)
    digest = ctypes.create_string_buffer(32)
    node.mf_sha256(data, len(data), digest)
    assert digest.raw == sha256(data).digest()
    for size in (4, 8, 64):
        short, digest = data[:128], ctypes.create_string_buffer(size)
        node.mf_blake2b(short, len(short), digest, size)
        assert digest.raw == blake2b(short, digest_size=size).digest()


def test_the_vector_of_the_protocol(node):
    node.mf_crc32.restype = ctypes.c_uint32
    assert node.mf_crc32(0, b"123456789", 9) == 0xCBF43926
    assert node.mf_crc32(node.mf_crc32(0, b"1234", 4), b"56789", 5) == 0xCBF43926


def test_every_half_is_read_and_written_as_numpy_does(node):
    node.mf_from_half.restype = ctypes.c_float
    node.mf_half.argtypes, node.mf_half.restype = (ctypes.c_float,), ctypes.c_uint16
    halves = np.arange(1 << 16, dtype=np.uint16)
    for bits, value in zip(halves.tolist(), halves.view(np.float16).astype(float), strict=True):
        found = node.mf_from_half(bits)
        assert found == value or (np.isnan(found) and np.isnan(value))
        if np.isfinite(value):
            assert node.mf_half(value) == bits


@settings(max_examples=2000)
@given(value=st.floats(width=32, allow_nan=False), exponent=st.integers(-160, 0))
def test_any_float_becomes_the_nearest_half_with_ties_to_even(node, value, exponent):
    node.mf_half.argtypes, node.mf_half.restype = (ctypes.c_float,), ctypes.c_uint16
    for real in np.array([value, np.ldexp(value, exponent)], np.float32):
        wanted = np.clip(real, np.float32(-65504), np.float32(65504)).astype(np.float16)
        assert node.mf_half(real) == int(wanted.view(np.uint16))


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=3000),
        st.lists(st.sampled_from([b"ab", b"abc", b"\0" * 40, b"xyz" * 30]), max_size=200).map(
            b"".join
        ),
    ),
    level=st.integers(0, 9),
    strategy=st.sampled_from([0, 1, 2, 3, 4]),
)
def test_every_stream_that_zlib_writes_is_read(node, data, level, strategy):
    assert inflate(node, deflated(data, level, strategy)) == data


def test_repetitions_from_the_far_end_of_the_window_are_read(node):
    rng = np.random.default_rng(3)
    data = bytes(rng.integers(0, 256, 3900, np.uint8)) * 5
    packed = pack(data)
    assert packed[0] == DEFLATED
    assert inflate(node, packed[1:]) == data


def test_a_stream_that_reaches_behind_the_window_is_refused(node):
    rng = np.random.default_rng(4)
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    far = stream.compress(bytes(rng.integers(0, 256, 5000, np.uint8)) * 2) + stream.flush()
    assert inflate(node, far) is None


@settings(max_examples=800, deadline=None)
@given(data=st.data())
def test_any_bytes_are_read_or_refused_as_zlib_does(node, data):
    if data.draw(st.booleans()):
        stream = data.draw(st.binary(max_size=60))
    else:
        text = data.draw(st.binary(max_size=400))
        stream = bytearray(deflated(text * 2, 9, data.draw(st.sampled_from([0, 2]))))
        for _ in range(data.draw(st.integers(1, 3))):
            stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        stream = bytes(stream[: data.draw(st.integers(1, len(stream)))])
    assert inflate(node, stream) == by_zlib(stream)


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_stream_cut_short_or_followed_by_more_is_refused(node, cut):
    stream = deflated(b"the quick brown fox jumps over the lazy dog" * 3, 9, 0)
    assert inflate(node, stream[:-cut]) is None
    assert inflate(node, stream + b"\0") is None
