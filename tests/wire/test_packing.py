"""Codes for bytes alone: zlib has the memory of one block, and writes what it would with all."""

import zlib

import pytest

from wire.packing import _deflate

MOST = 9  # zlib's highest memory level


def huffman(data, memory):
    stream = zlib.compressobj(9, zlib.DEFLATED, -12, memory, zlib.Z_HUFFMAN_ONLY)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("power", range(6, 16))
def test_the_least_memory_is_taken_that_gives_the_stream_of_the_most(power, rng, monkeypatch):
    taken, compressobj = [], zlib.compressobj

    def watched(level, method, window, memory, strategy):
        taken.append(memory)
        return compressobj(level, method, window, memory, strategy)

    for size in range(2**power - 2, 2**power + 2):
        for data in (rng.bytes(size), rng.poisson(1.0, size).astype("u1").tobytes()):
            with monkeypatch.context() as patch:
                patch.setattr(zlib, "compressobj", watched)
                found = _deflate(data, zlib.Z_HUFFMAN_ONLY, 9)
            assert found == huffman(data, MOST), size
            memory = taken[-1]
            assert memory == 1 or huffman(data, memory - 1) != found, size
