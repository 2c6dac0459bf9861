"""One bit a value after a random rotation: DRIVE, Vargaftik et al. 2021 (arXiv:2105.08339).

Random signs and a Walsh-Hadamard transform make all values alike, so that signs and one
scale say most of them; the scale ‖R x‖² / ‖R x‖₁ makes the estimate unbiased.  Done on
blocks whose sizes are powers of two, so that nothing is padded but the last few values.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wire.codecs.values import F32, check_finite, read_floats
from wire.errors import CodecError

F64 = NDArray[np.float64]

SMALLEST_BLOCK = 128
_SEED_BYTES = 4


class Drive:
    """The seed of the signs, uint32; a float32 for each block; one bit for each value."""

    name = "drive"
    feedback = False

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode."""
        check_finite(delta, "delta")
        seed %= 1 << 32
        blocks = _blocks(delta.size)
        padded: F64 = np.zeros(blocks[-1], np.float64)
        padded[: delta.size] = delta * _signs(seed, delta.size)
        scales, bits = [], []
        for start, stop in pairwise(blocks):
            turned = _hadamard(padded[start:stop].astype(np.float64))
            mass = np.abs(turned).sum()
            scales.append(turned @ turned / mass if mass else 0.0)
            bits.append(np.packbits(turned < 0).tobytes())
        head = seed.to_bytes(_SEED_BYTES, "little") + np.array(scales, "<f4").tobytes()
        return head + b"".join(bits)

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:  # noqa: ARG002
        """As Codec.decode."""
        blocks = _blocks(n)
        head = _SEED_BYTES + 4 * (len(blocks) - 1)
        if len(data) != head + blocks[-1] // 8:
            raise CodecError("update", f"{len(data)} bytes", f"{head + blocks[-1] // 8}")
        scales = read_floats(data, _SEED_BYTES, len(blocks) - 1)
        negative = np.unpackbits(np.frombuffer(data, np.uint8, offset=head))
        values = np.empty(blocks[-1], np.float64)
        for scale, (start, stop) in zip(scales, pairwise(blocks), strict=True):
            values[start:stop] = _hadamard(float(scale) * (1.0 - 2.0 * negative[start:stop]))
        seed = int.from_bytes(data[:_SEED_BYTES], "little")
        with np.errstate(over="ignore"):
            delta: F32 = (values[:n] * _signs(seed, n)).astype(np.float32)
        check_finite(delta, "update")
        return delta


def _signs(seed: int, n: int) -> F64:
    """N random signs, the same on every machine: bits of PCG64's raw output."""
    words = np.random.PCG64(seed).random_raw(-(-n // 64)) if n else np.empty(0, np.uint64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), count=n)
    signs: F64 = np.array([1.0, -1.0])[bits]
    return signs


def _blocks(n: int) -> list[int]:
    """Where blocks begin and end: the powers of two in n, and one that holds the rest."""
    edges = [0]
    while n - edges[-1] >= SMALLEST_BLOCK:
        edges.append(edges[-1] + (1 << (n - edges[-1]).bit_length() - 1))
    if n > edges[-1]:
        edges.append(edges[-1] + max(8, 1 << (n - edges[-1] - 1).bit_length()))
    return edges


def _hadamard(x: NDArray[np.floating]) -> F64:
    """The orthonormal Walsh-Hadamard transform of x (2^k,), which is its own inverse."""
    size, half = x.size, 1
    while half < size:
        pairs = x.reshape(-1, 2, half)
        x = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), 1).reshape(-1)
        half *= 2
    unit: F64 = x / np.sqrt(size)
    return unit
