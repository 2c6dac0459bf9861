"""The base file as an object: its numbers by the coder of updates, the rest deflated.

DEFLATE sees bytes that repeat; weights do not.  They, the biases, and the scales of biases,
which are products of two others but for their last bits, are taken out of the file and
coded as numbers.  What is left is structure, which deflates well.  This module knows
nothing of models: whoever makes the object says where in the file the numbers lie, and the
object says it again.  docs/protocol.md, section 6, gives the layout.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire.codecs.numbers import read_numbers, write_numbers
from wire.errors import CodecError
from wire.leb128 import leb128, numbers
from wire.packing import pack, unpack

CODED = 2  # the first byte, beside the two of wire.packing
_WHERE = "base"


class Form(IntEnum):
    """What the numbers of a run are."""

    INT8 = 0
    INT32 = 1
    PRODUCTS = 2  # float32s, each close to the product of a float32 of its own and a shared one


class Run(NamedTuple):
    """Numbers that lie next to each other in the file."""

    at: int  # bytes from the file's beginning
    form: Form
    size: int  # numbers
    factors: int = 0  # PRODUCTS: where the float32s of their own lie, as many,
    factor: int = 0  # and the shared one; neither of them in a run

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.at + self.size * (1 if self.form is Form.INT8 else 4)


def pack_base(file: bytes, runs: tuple[Run, ...] = ()) -> bytes:
    """A model file as a BASE object, the shorter of packed and `coded`; `runs` ascend."""
    packed = pack(file)
    return min(packed, coded(file, runs), key=len) if runs else packed


def coded(file: bytes, runs: tuple[Run, ...]) -> bytes:
    """A model file, its runs apart from the rest."""
    numbers = np.concatenate([_taken(file, run) for run in runs])
    body = write_numbers(numbers, _bounds(runs), _wide(runs))
    listed = leb128(np.array([len(runs), *_listed(runs), len(body)]))
    rest = np.frombuffer(file, np.uint8)[_lanes(len(file), runs)].tobytes()
    return bytes([CODED]) + listed + body + pack(rest)


def unpack_base(data: bytes, most: int) -> bytes:
    """The model file in a BASE object: at most `most` bytes, else a CodecError."""
    if data[:1] != bytes([CODED]):
        return unpack(data, most, _WHERE)
    runs, at = _read_runs(data, most)
    (size,), at = numbers(data, at, 1, _WHERE)
    body, behind = data[at : at + size], data[at + size :]
    taken = sum(run.end - run.at for run in runs)
    rest = unpack(behind, most - taken, _WHERE)
    if len(rest) + taken < runs[-1].end:
        raise CodecError(_WHERE, f"{len(rest)} bytes beside the runs", "those between them")
    spread = np.zeros(len(rest) + taken, np.uint8)
    spread[_lanes(spread.size, runs)] = np.frombuffer(rest, np.uint8)
    file, bounds = bytearray(spread), _bounds(runs)
    found = read_numbers(body, bounds, _wide(runs))
    for run, (start, stop) in zip(runs, pairwise(bounds), strict=True):
        file[run.at : run.end] = _put_back(file, run, found[start:stop])
    return bytes(file)


def _bounds(runs: tuple[Run, ...]) -> tuple[int, ...]:
    """Where the numbers of each run begin and end among all of them."""
    return (0, *accumulate(run.size for run in runs))


def _wide(runs: tuple[Run, ...]) -> bytes:
    return bytes(run.form is not Form.INT8 for run in runs)


def _listed(runs: tuple[Run, ...]) -> list[int]:
    """The numbers that say where the runs are."""
    found, end = [], 0
    for run in runs:
        found += [run.at - end, 4 * run.size + run.form]
        if run.form is Form.PRODUCTS:
            found += [run.factors, run.factor]
        end = run.end
    return found


def _read_runs(data: bytes, most: int) -> tuple[tuple[Run, ...], int]:
    """The runs, at least one and within `most` bytes of file, and the offset behind them."""
    (count,), at = numbers(data, 1, 1, _WHERE)
    runs: list[Run] = []
    end = 0
    for _ in range(int(count)):
        (gap, what), at = numbers(data, at, 2, _WHERE)
        size, form = divmod(int(what), 4)
        if form not in list(Form):
            raise CodecError(_WHERE, f"numbers of form {form}", "0 to 2")
        factors = (0, 0)
        if form == Form.PRODUCTS:
            (own, shared), at = numbers(data, at, 2, _WHERE)
            factors = int(own), int(shared)
        runs.append(Run(end + int(gap), Form(form), size, *factors))
        end = runs[-1].end
        if end > most:
            raise CodecError(_WHERE, f"a run that ends at {end}", f"at most {most}")
    if not runs:
        raise CodecError(_WHERE, "no runs", "at least one")
    return tuple(runs), at


def _lanes(size: int, runs: tuple[Run, ...]) -> NDArray[np.int64]:
    """The offsets of a file of so many bytes that are in no run, in the order of the rest.

    What a flatbuffer says of itself is 32-bit numbers, most of them small: first bytes lie
    next to first bytes, and zeros next to zeros.
    """
    free = np.ones(size, np.bool_)
    for run in runs:
        free[run.at : run.end] = False
    at = np.flatnonzero(free)
    return at[np.argsort(at % 4, kind="stable")]


def _taken(file: bytes, run: Run) -> NDArray[np.int32]:
    """What is sent of a run; of products what they differ by, modulo 2^32."""
    if run.form is Form.INT8:
        return np.frombuffer(file, np.int8, run.size, run.at).astype(np.int32)
    found = np.frombuffer(file, "<i4", run.size, run.at).astype(np.int32)
    return found - _products(file, run) if run.form is Form.PRODUCTS else found


def _put_back(file: bytearray, run: Run, numbers: NDArray[np.int32]) -> bytes:
    """The bytes of a run whose numbers have come."""
    if run.form is Form.INT8:
        return numbers.astype(np.int8).tobytes()
    if run.form is Form.PRODUCTS:
        numbers = numbers + _products(file, run)
    return numbers.astype("<i4").tobytes()


def _products(file: bytes | bytearray, run: Run) -> NDArray[np.int32]:
    """The bits of the products, each rounded once."""
    if max(run.factors + 4 * run.size, run.factor + 4) > len(file):
        raise CodecError(_WHERE, "factors behind the file", f"within its {len(file)} bytes")
    own = np.frombuffer(file, "<f4", run.size, run.factors)
    with np.errstate(all="ignore"):
        products: NDArray[np.float32] = own * np.frombuffer(file, "<f4", 1, run.factor)
    bits: NDArray[np.int32] = products.astype("<f4").view("<i4").astype(np.int32)
    return bits
