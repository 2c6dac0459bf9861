"""Stochastic quantisation: QSGD, Alistarh et al. 2017 (arXiv:1610.02132).

Of each tensor its norm, and for each value a random one of the two levels around
LEVELS · |x| / norm, so that the mean is right.  Most are 0: the others are told by their gap,
sign and level in Elias' gamma code (the paper's sparse form, section 3.2).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wire.codecs.bits import BitReader, BitWriter
from wire.codecs.topk import gaps
from wire.codecs.values import F32, check_finite, read_floats
from wire.errors import CodecError

LEVELS = 16


class Qsgd:
    """A float32 norm for each tensor; then of each tensor count + 1, and gap + 1, sign, level."""

    name = "qsgd"
    feedback = False

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode."""
        check_finite(delta, "delta")
        random = np.random.Generator(np.random.PCG64(seed))
        norms = np.zeros(len(bounds) - 1, "<f4")
        writer = BitWriter()
        for t, (start, stop) in enumerate(pairwise(bounds)):
            values = delta[start:stop].astype(np.float64)
            norms[t] = np.sqrt(values @ values)
            share = np.abs(values) / norms[t] * LEVELS if norms[t] else values
            levels = np.floor(share + random.random(values.size)).astype(np.int64)
            places = np.flatnonzero(levels)
            writer.gamma(places.size + 1)
            for gap, place in zip(gaps(places).tolist(), places.tolist(), strict=True):
                writer.gamma(gap + 1)
                writer.plain(int(values[place] < 0), 1)
                writer.gamma(int(levels[place]))
        return norms.tobytes() + writer.result()

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:
        """As Codec.decode."""
        tensors = len(bounds) - 1
        norms = read_floats(data, 0, tensors)
        reader = BitReader(data[4 * tensors :])
        delta = np.zeros(n, np.float32)
        for norm, (start, stop) in zip(norms, pairwise(bounds), strict=True):
            at = start - 1
            for _ in range(reader.gamma() - 1):
                at += reader.gamma()
                if at >= stop:
                    raise CodecError("update", f"a value at {at}", f"below {stop}")
                negative, level = reader.plain(1), reader.gamma()
                if level > LEVELS + 1:
                    raise CodecError("update", f"level {level}", f"at most {LEVELS + 1}")
                value = np.float32(min(float(norm) * level / LEVELS, float(np.finfo("f4").max)))
                delta[at] = -value if negative else value
        reader.finish()
        return delta
