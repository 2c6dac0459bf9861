"""Packed bytes: one byte that says how, then the bytes themselves or their DEFLATE stream.

A sender that cannot compress writes method 0.  Every receiver reads both.
"""

from __future__ import annotations

import zlib

from wire.errors import CodecError

STORED = 0
DEFLATED = 1  # a raw stream (RFC 1951)
_BEST, _QUICK = 9, 4
_HOPE = 1.05  # the best search finds a tenth more than the quick one, or hardly anything
_PIECES, _PIECE = 8, 128  # of bytes
_SHORT = 4096  # bytes: for so little everything is tried
_MEMORY = 9  # zlib's most
_BLOCK_BITS = 6  # of memory level m, zlib's blocks have 2^(m + 6) - 1 symbols
_WINDOW_BITS = 12  # distances stay within 4 KB: a device inflates with a window that small


def pack(data: bytes) -> bytes:
    """`data` stored or deflated, whichever is shorter; the same bytes for the same data.

    Weights and their changes are mostly noise, in which DEFLATE searches long for
    repetitions that are not worth their mention: where a quick search finds
    none, bytes are only coded by how often they come.
    """
    streams = [_deflate(data, zlib.Z_HUFFMAN_ONLY, _BEST)]
    if len(data) <= _SHORT or _may_repeat(data, len(streams[0])):
        streams.insert(0, _deflate(data, zlib.Z_FILTERED, _BEST))
    if len(data) <= _SHORT:
        streams.insert(0, _deflate(data, zlib.Z_DEFAULT_STRATEGY, _BEST))
    shortest = min(streams, key=len)
    if len(shortest) < len(data):
        return bytes([DEFLATED]) + shortest
    return bytes([STORED]) + data


def _may_repeat(data: bytes, coded: int) -> bool:
    """Whether a search may find what is worth it in `data`, of which bytes alone make `coded`."""
    if 2 * coded < len(data):
        return len(_deflate(data, zlib.Z_DEFAULT_STRATEGY, _QUICK)) < _HOPE * coded
    # Values all over their range: a few pieces show what all is like.
    starts = range(0, len(data) - _PIECE, -(-len(data) // _PIECES))
    pieces = b"".join(data[start : start + _PIECE] for start in starts)
    found = len(_deflate(pieces, zlib.Z_DEFAULT_STRATEGY, _QUICK))
    return found < len(_deflate(pieces, zlib.Z_HUFFMAN_ONLY, _QUICK))


def unpack(packed: bytes, most: int, where: str) -> bytes:
    """What was packed: at most `most` bytes, and never more memory than that.

    Raises:
        CodecError: of `where`: not packed bytes, or more than `most` of them.
    """
    method, body = packed[:1], packed[1:]
    if method == bytes([STORED]):
        if len(body) > most:
            raise CodecError(where, f"{len(body)} bytes", f"at most {most}")
        return body
    if method != bytes([DEFLATED]):
        raise CodecError(where, f"method {method.hex() or 'missing'}", "00 stored, 01 deflated")
    return _inflate(body, most, where)


def _deflate(data: bytes, strategy: int, level: int) -> bytes:
    memory = _MEMORY
    if strategy == zlib.Z_HUFFMAN_ONLY:  # it searches nothing: room for one block is enough
        memory = max(1, min(memory, (len(data) + 1).bit_length() - _BLOCK_BITS))
    stream = zlib.compressobj(level, zlib.DEFLATED, -_WINDOW_BITS, memory, strategy)
    return stream.compress(data) + stream.flush()


def _inflate(body: bytes, most: int, where: str) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # one byte over the limit tells a stream that ends there from one that goes on
        data = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise CodecError(where, str(error), "a DEFLATE stream") from error
    if len(data) > most:
        raise CodecError(where, "a DEFLATE stream that goes on", f"at most {most} bytes")
    if not stream.eof:
        raise CodecError(where, "a DEFLATE stream cut short", "a whole one")
    if stream.unused_data:
        raise CodecError(where, f"{len(stream.unused_data)} bytes after the stream", "none")
    return data
