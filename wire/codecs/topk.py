"""The largest values as they are, in half precision: Aji and Heafield 2017 (arXiv:1704.05021).

With error feedback, as in Stich et al. 2018 (arXiv:1809.07599).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wire.codecs.values import F32, check_finite
from wire.errors import CodecError
from wire.leb128 import leb128, numbers

Places = NDArray[np.int64]

SHARE = 100  # one value of so many is sent
_MOST = np.float32(np.finfo(np.float16).max)


class TopK:
    """The gaps between the values that are sent, LEB128, then the values, float16."""

    name = "topk"
    feedback = True

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode."""
        check_finite(delta, "delta")
        places = largest(delta, sent(delta.size))
        values = np.clip(delta[places], -_MOST, _MOST).astype("<f2")
        said: bytes = leb128(gaps(places)) + values.tobytes()
        return said

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:  # noqa: ARG002
        """As Codec.decode."""
        k = sent(n)
        found, at = numbers(data, 0, k, "update")
        places = np.cumsum(found + 1) - 1
        if len(data) != at + 2 * k or (k and places[-1] >= n):
            raise CodecError("update", f"{len(data)} bytes", f"{k} places below {n} and values")
        delta = np.zeros(n, np.float32)
        delta[places] = np.frombuffer(data, "<f2", offset=at).astype(np.float32)
        check_finite(delta, "update")
        return delta


def sent(n: int) -> int:
    """How many of n values are sent."""
    return -(-n // SHARE)


def largest(delta: F32, k: int) -> Places:
    """Where the k largest magnitudes are, ascending; of equals the first."""
    order = np.argsort(-np.abs(delta), kind="stable")
    return np.sort(order[:k])


def gaps(places: Places) -> Places:
    """How many values lie between each place and the one before it."""
    return np.diff(places, prepend=-1) - 1
