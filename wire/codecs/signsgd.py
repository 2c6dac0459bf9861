"""One bit a value: signs and a magnitude for each tensor, with error feedback.

Seide et al. 2014 (1-bit SGD, Interspeech), in the form of Karimireddy et al. 2019
(EF-signSGD, arXiv:1901.09847): the magnitude is the mean of the tensor's.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wire.codecs.values import F32, check_finite, read_floats
from wire.errors import CodecError


class SignSgd:
    """A float32 for each tensor, then one bit for each value, 1 where it is negative."""

    name = "signsgd"
    feedback = True

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode."""
        check_finite(delta, "delta")
        scales = np.zeros(len(bounds) - 1, "<f4")
        for t, (start, stop) in enumerate(pairwise(bounds)):
            if start < stop:
                scales[t] = np.abs(delta[start:stop]).mean(dtype=np.float64)
        return scales.tobytes() + np.packbits(delta < 0).tobytes()

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:
        """As Codec.decode."""
        tensors = len(bounds) - 1
        scales = read_floats(data, 0, tensors)
        size = 4 * tensors + -(-n // 8)
        if len(data) != size:
            raise CodecError("update", f"{len(data)} bytes", f"{size}")
        negative = np.unpackbits(np.frombuffer(data, np.uint8, offset=4 * tensors), count=n)
        magnitude = np.repeat(scales, np.diff(bounds))
        return np.where(negative == 1, -magnitude, magnitude).astype(np.float32)
