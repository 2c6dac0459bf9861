"""Error feedback: what an update leaves out is a part of the next one.

Seide et al. 2014 (1-bit SGD); Karimireddy et al. 2019 (arXiv:1901.09847).  A device keeps two
bytes for each parameter that trains.  It counts on its updates being accepted; of one that was
not, refused or never answered, what it said is added again.  For that the coded bytes of
updates without a verdict are enough, and those are few.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire.codec import CODECS

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]

_MOST = np.float32(np.finfo(np.float16).max)


class Kept(NamedTuple):
    """What updates of one base file, and one choice of what trains, have left out so far."""

    base: bytes  # SHA-256 of that file
    bounds: tuple[int, ...]  # of an update, as in wire.codec: they tell what trains as well
    values: F16  # (bounds[-1],)

    @property
    def vector(self) -> tuple[bytes, tuple[int, ...]]:
        """Which values of which model these are; others cannot be added to them."""
        return self.base, self.bounds


class Said(NamedTuple):
    """An update without a verdict."""

    round: int
    nonce: bytes
    codec: str
    data: bytes
    before: F16  # what was kept when it was made: so it can be made again, after a loss of power


def owed(delta: F32, kept: Kept | None, base: bytes, bounds: tuple[int, ...]) -> F32:
    """What an update should say: what training changed, and what was left out before."""
    if kept is None or kept.vector != (base, bounds):
        return delta
    return delta + kept.values.astype(np.float32)


def kept_for(kept: Kept | None, said: tuple[Said, ...], number: int, nonce: bytes) -> Kept | None:
    """What was kept before the update of that name was made, if it was made already."""
    for one in said:
        if (one.round, one.nonce) == (number, nonce) and kept is not None:
            return kept._replace(values=one.before)
    return kept


def left_out(owing: F32, said: F32) -> F16:
    """What is left of `owing` when `said` was sent."""
    left: F16 = np.clip(owing - said, -_MOST, _MOST).astype(np.float16)
    return left


def fold_back(kept: Kept, said: Said) -> Kept:
    """What is kept when an update was not accepted after all."""
    lost = CODECS[said.codec].decode(said.data, kept.values.size, kept.bounds)
    return kept._replace(values=left_out(kept.values.astype(np.float32), -lost))
