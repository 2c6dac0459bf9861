"""Sparse ternary compression: Sattler et al. 2019 (arXiv:1903.02891), with error feedback.

The largest values are sent as their signs and one magnitude, their mean; the gaps between
them in the Golomb code that is best for places thrown at random.
"""

from __future__ import annotations

import numpy as np

from wire.codecs.bits import BitReader, BitWriter
from wire.codecs.topk import gaps, largest, sent
from wire.codecs.values import F32, check_finite, read_floats
from wire.errors import CodecError

LOW_BITS = 6  # 1 + floor(log2(log((√5 − 1) / 2) / log(1 − p))), p = 1 / topk.SHARE: eq. 14


class Stc:
    """The magnitude, float32; for each value its gap (unary, six plain bits) and its sign."""

    name = "stc"
    feedback = True

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode."""
        check_finite(delta, "delta")
        places = largest(delta, sent(delta.size))
        values = delta[places]
        mean = np.abs(values).mean(dtype=np.float64) if values.size else 0.0
        writer = BitWriter()
        for gap, negative in zip(gaps(places).tolist(), (values < 0).tolist(), strict=True):
            writer.unary(gap >> LOW_BITS)
            writer.plain(gap & ((1 << LOW_BITS) - 1), LOW_BITS)
            writer.plain(int(negative), 1)
        magnitude: bytes = np.float32(mean).astype("<f4").tobytes()
        return magnitude + writer.result()

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:  # noqa: ARG002
        """As Codec.decode."""
        mean = read_floats(data, 0, 1)[0]
        reader = BitReader(data[4:])
        delta = np.zeros(n, np.float32)
        at = -1
        for _ in range(sent(n)):
            at += 1 + (reader.unary() << LOW_BITS | reader.plain(LOW_BITS))
            if at >= n:
                raise CodecError("update", f"a value at {at}", f"below {n}")
            delta[at] = -mean if reader.plain(1) else mean
        reader.finish()
        return delta
