"""The values themselves: float32, what anything smaller is measured against, and float16."""

from __future__ import annotations

import numpy as np

from wire.codecs.values import F32, check_finite
from wire.errors import CodecError


class Floats:
    """One little-endian float for each value; beyond float16's range, the largest it has."""

    feedback = False

    def __init__(self, name: str, dtype: str) -> None:
        self.name = name
        self._dtype = np.dtype(dtype)

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode."""
        check_finite(delta, "delta")
        most = np.finfo(self._dtype).max
        return np.clip(delta, -most, most).astype(self._dtype).tobytes()

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:  # noqa: ARG002
        """As Codec.decode."""
        if len(data) != self._dtype.itemsize * n:
            expected = f"{self._dtype.itemsize * n}: {n} {self.name}"
            raise CodecError("update", f"{len(data)} bytes", expected)
        delta = np.frombuffer(data, self._dtype).astype(np.float32)
        check_finite(delta, "update")
        return delta
