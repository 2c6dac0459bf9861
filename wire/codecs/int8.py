"""Every value in a byte or less: 8-bit integers with a scale for each tensor."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wire.codecs.values import F32, SMALLEST, check_finite
from wire.errors import CodecError
from wire.packing import pack, unpack

_LEVELS = np.float32(127)
_LARGEST = np.finfo(np.float32).max


class Int8:
    """One scale for each tensor, one signed byte for each value; then DEFLATE where it helps."""

    name = "int8"
    feedback = False

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """The error of a value is at most half its tensor's scale, its largest magnitude / 127."""
        assert delta.shape == bounds[-1:], "bounds end where the values do"
        check_finite(delta, "delta")
        flags = bytearray(_flag_bytes(bounds))
        scales, codes = bytearray(), bytearray()
        for t, (start, stop) in enumerate(pairwise(bounds)):
            values = delta[start:stop]
            scale = np.abs(values).max(initial=np.float32(0)) / _LEVELS
            if scale < SMALLEST:
                continue
            flags[t // 8] |= 1 << t % 8
            scales += scale.astype("<f4").tobytes()
            codes += np.rint(values / scale).astype(np.int8).tobytes()
        return bytes(flags + scales) + (pack(bytes(codes)) if codes else b"")

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:
        """As Codec.decode."""
        delta = np.zeros(n, np.float32)
        present = _present(data, bounds)
        head = _flag_bytes(bounds)
        body = head + 4 * len(present)
        if len(data) < body:
            raise CodecError("update", f"{len(data)} bytes", f"{len(present)} scales after flags")
        scales = np.frombuffer(data[head:body], "<f4")
        if not np.all(np.isfinite(scales) & (scales >= SMALLEST)):
            raise CodecError("update", f"scales {scales.min()} to {scales.max()}", "normal floats")
        codes = _codes(data[body:], sum(stop - start for start, stop in present))
        at = 0
        with np.errstate(over="ignore"):
            for scale, (start, stop) in zip(scales, present, strict=True):
                np.multiply(codes[at : at + stop - start], scale, out=delta[start:stop])
                at += stop - start
        if scales.max(initial=0) > _LARGEST / _LEVELS:
            check_finite(delta, "update")
        return delta


def _flag_bytes(bounds: tuple[int, ...]) -> int:
    return (len(bounds) - 1 + 7) // 8


def _present(data: bytes, bounds: tuple[int, ...]) -> list[tuple[int, int]]:
    """(start, stop) of the tensors that the flags say are not all zero."""
    size = _flag_bytes(bounds)
    flags = int.from_bytes(data[:size], "little")
    tensors = len(bounds) - 1
    if len(data) < size or flags >> tensors:
        raise CodecError("update", f"flags {data[:size].hex()}", f"{size} bytes, {tensors} bits")
    return [span for t, span in enumerate(pairwise(bounds)) if flags >> t & 1]


def _codes(packed: bytes, n: int) -> NDArray[np.int8]:
    if n == 0:
        if packed:
            raise CodecError("update", f"{len(packed)} bytes after the scales", "none")
        return np.empty(0, np.int8)
    data = unpack(packed, n, "update")
    codes = np.frombuffer(data, np.int8)
    if codes.size != n:
        raise CodecError("update", f"{codes.size} codes", f"{n}")
    if codes.min() < -127:
        raise CodecError("update", "the code -128", "-127 to 127")
    return codes
