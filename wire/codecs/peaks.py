"""The peaks of a randomly rotated update: for devices whose data differ more than rounds teach.

A device's largest values are what its own classes want.  Cut to those, the updates of a fleet
no longer cancel where they should, and their mean points elsewhere.  After a random rotation
every value is a mixture of all: what is left out is noise in no direction of its own, which a
mean of many devices averages away.  So nothing has to be kept for the next update.

The rotation is random signs and a Walsh-Hadamard transform, as of DRIVE (Vargaftik et al. 2021,
arXiv:2105.08339), whose scale ‖x‖² / Σ|sent| makes the estimate unbiased too.  Of the rotated
values, cut into cells, only the largest of each cell is sent: its place and its sign, plain
bits.  The fewer bytes, the larger the cells, down to about a bit for each value.

docs/protocol.md, section 7, gives the format bit for bit; firmware/core/src/codec/peaks.c is
the same in C, and the tests hold the two byte-identical.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import core.codec as compiled
from core.library import present
from wire.codecs.microfed import default_budget
from wire.codecs.symbols import check_largest, step_code, step_of
from wire.codecs.values import F32, check_finite
from wire.errors import CodecError

U32 = NDArray[np.uint32]

HEAD = 2  # bytes: the seed of the signs, the code of the scale
LEAST_BUDGET = HEAD + 1
MOST = 64.0  # above the last step, and a float32
HALF_STEP = 1.0442737824274138  # 2^(1/16): scales are rounded to the nearest code


class Cells(NamedTuple):
    """`total` cells of 2^place rotated values each, from the first value on."""

    total: int
    place: int  # bits that say where in a cell


class Peaks:
    """A seed, a scale, and of each cell the place and the sign of its largest value."""

    name = "peaks"
    feedback = False

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:  # noqa: ARG002
        """As Codec.encode; a budget below LEAST_BUDGET counts as that."""
        budget = budget_of(budget, delta.size)
        if present():
            with suppress(compiled.CodedError):  # what it refuses is named below
                return compiled.encode_peaks(delta, budget, seed & 0xFF)
        check_finite(delta, "delta")
        check_largest(delta)
        return write(delta, budget, seed & 0xFF)

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:  # noqa: ARG002
        """As Codec.decode."""
        if not present():
            return read(data, n)
        try:
            return compiled.decode_peaks(data, n)
        except compiled.CodedError as error:
            raise _no_update(data, n) from error


def budget_of(budget: int, n: int) -> int:
    """The bytes that an update of n values may have where a task says `budget`, however many."""
    return min(max(budget or default_budget(n), LEAST_BUDGET), _longest(n))


def write(delta: F32, budget: int, seed: int) -> bytes:
    """The update `delta` in at most `budget` bytes, never more than one bit a value needs."""
    size = min(budget, _longest(delta.size))
    cells = cells_of(delta.size, size)
    turned = turn(delta, seed)[: cells.total << cells.place].reshape(cells.total, 1 << cells.place)
    places = np.abs(turned).argmax(axis=1)
    peaks = turned[np.arange(cells.total), places]
    words = places << 1 | (peaks < 0)
    bits = words[:, None] >> np.arange(cells.place, -1, -1) & 1
    packed = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
    return bytes([seed, _scale_code(delta, peaks)]) + packed.ljust(size - HEAD, b"\0")


def read(data: bytes, n: int) -> F32:
    """The values (n,); CodecError for a length that `write` does not make."""
    if not LEAST_BUDGET <= len(data) <= _longest(n):
        raise _no_update(data, n)
    values = np.zeros(n, np.float32)
    seed, scale = data[0], data[1]
    if scale == 0:
        return values
    cells = cells_of(n, len(data))
    length = cells.place + 1
    bits = np.unpackbits(np.frombuffer(data, np.uint8, offset=HEAD), count=cells.total * length)
    words = bits.reshape(cells.total, length) @ (1 << np.arange(cells.place, -1, -1))
    at = (np.arange(cells.total) << cells.place) + (words >> 1)
    values[at] = np.where(words & 1, -step_of(scale), step_of(scale))
    return turn_back(values, seed)


def cells_of(n: int, size: int) -> Cells:
    """The cells of a message of `size` bytes: as large as possible, for they tell most a bit."""
    bits = 8 * (size - HEAD)
    for place in range(n.bit_length() - 1, 0, -1):
        count = bits // (place + 1)
        if count >= 1 and count << place <= n:
            return Cells(count, place)
    return Cells(min(bits, n), 0)


def turn(values: F32, seed: int) -> F32:
    """Rotated, of any number and without padding: the first 2^k values, the last 2^k, halves."""
    turned = values.copy()
    for number, part in enumerate(_parts(values.size)):
        turned *= _signs(values.size, seed, number)
        turned[part] = _hadamard(turned[part])
    return _mix_halves(turned)


def turn_back(turned: F32, seed: int) -> F32:
    """What `turn` rotated: each of its steps is its own inverse."""
    values = _mix_halves(turned)
    for number, part in reversed(list(enumerate(_parts(values.size)))):
        values[part] = _hadamard(values[part])
        values *= _signs(values.size, seed, number)
    return values


def _parts(n: int) -> tuple[slice, slice]:
    """The first and the last 2^k of n values, 2^k being more than half of them."""
    width = 1 << n.bit_length() >> 1
    return slice(0, width), slice(n - width, n)


def _mix_halves(x: F32) -> F32:
    """Sums and differences of the two halves; the one in the middle of an odd number stays."""
    half, mixed = x.size // 2, x.copy()
    first, last = x[:half], x[x.size - half :]
    mixed[:half] = (first + last) * _unit(2)
    mixed[x.size - half :] = (first - last) * _unit(2)
    return mixed


def _hadamard(x: F32) -> F32:
    """The orthonormal Walsh-Hadamard transform of x (2^k,), which is its own inverse."""
    size, half = x.size, 1
    while half < size:
        pairs = x.reshape(-1, 2, half)
        x = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), 1).reshape(-1)
        half *= 2
    return x * _unit(size)


def _unit(size: int) -> np.float32:
    """1 / √size of a power of two, rounded to float32."""
    exponent = max(size.bit_length() - 1, 0)
    return np.float32(2.0 ** -(exponent // 2) * (0.5**0.5 if exponent % 2 else 1.0))


def _signs(n: int, seed: int, number: int) -> F32:
    """Random signs of a pass: 32 values share a hashed word, its lowest bit for the first.

    The hash is the finaliser of MurmurHash3 (Appleby 2011).
    """
    words = np.arange(-(-n // 32), dtype=np.uint32)
    words = words * np.uint32(1024) + np.uint32(256 * number + seed) + np.uint32(0x9E3779B9)
    words = (words ^ words >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    words = (words ^ words >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    words ^= words >> np.uint32(16)
    bits = words[:, None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)
    return np.where(bits.ravel()[:n], np.float32(-1), np.float32(1))


def _scale_code(delta: F32, peaks: F32) -> int:
    """The code of ‖delta‖² / Σ|peaks|, 0 where there is nothing to say; sums are sequential."""
    energy, mass = (np.cumsum(x) for x in (delta.astype(float) ** 2, np.abs(peaks).astype(float)))
    if mass.size == 0 or mass[-1] == 0:
        return 0
    return step_code(np.float32(min(energy[-1] / mass[-1] * HALF_STEP, MOST)))


def _longest(n: int) -> int:
    """Bytes with a bit for each value."""
    return HEAD + max(1, -(-n // 8))


def _no_update(data: bytes, n: int) -> CodecError:
    return CodecError("update", f"{len(data)} bytes", f"{LEAST_BUDGET} to {_longest(n)}")
