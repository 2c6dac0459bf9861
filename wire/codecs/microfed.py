"""The codec of this project: a budget of bytes, filled with the largest values.

What is written is in wire.codecs.symbols, which is the reference; where the core is compiled
it does the work, and writes the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import core.codec as compiled
from core.library import present
from wire.codecs import symbols
from wire.codecs.values import F32, check_finite
from wire.errors import CodecError

I32 = NDArray[np.int32]

SHARE = 32  # without a budget: bytes for each so many values,
LEAST = 32  # and at least these
MOST = 1 << 30  # magnitude of a difference of codes


class Microfed:
    """Few values, where they are and how large, in at most `budget` bytes."""

    name = "microfed"
    feedback = True

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode; a budget below symbols.LEAST_BUDGET counts as that."""
        check_finite(delta, "delta")
        budget = max(budget or default_budget(delta.size), symbols.LEAST_BUDGET)
        if not present():
            return symbols.encode(delta, bounds, budget)
        symbols.check_largest(delta)
        return compiled.encode_update(delta, bounds, budget)

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:  # noqa: ARG002
        """As Codec.decode."""
        if not present():
            return symbols.decode(data, bounds)
        try:
            return compiled.decode_update(data, bounds)
        except compiled.CodedError as error:
            raise CodecError("update", f"{len(data)} bytes", "an update of this model") from error


def code_differences(difference: I32) -> bytes:
    """Differences of codes (n,), none above MOST, by the same coder as updates, as one tensor."""
    bounds = (0, difference.size)
    if not present():
        return symbols.write_symbols(difference, bounds, MOST)
    capacity = 16 + 9 * difference.size  # a gap, a sign and a level have 66 bits at most
    return compiled.encode_codes(np.ascontiguousarray(difference), bounds, capacity)


def read_differences(data: bytes, n: int) -> I32:
    """What `code_differences` wrote of n codes, else CodecError."""
    bounds = (0, n)
    if not present():
        return symbols.read_symbols(data, bounds, MOST)
    try:
        return compiled.decode_codes(data, bounds)
    except compiled.CodedError as error:
        raise CodecError("difference", f"{len(data)} bytes", f"{n} coded codes") from error


def default_budget(n: int) -> int:
    """Bytes for an update of n values: 128 times fewer than float32 takes."""
    return max(LEAST, -(-n // SHARE))
