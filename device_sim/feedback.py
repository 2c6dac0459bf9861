"""Error feedback: what an update left out is a part of the next one.

Seide et al. 2014 (1-bit SGD); Karimireddy et al. 2019 (arXiv:1901.09847).  A device keeps two
bytes for each unmasked parameter, and changes them only when it knows what became of an
update: accepted, what was left out is kept; anything else, all of it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]

_MOST = np.float32(np.finfo(np.float16).max)


class Residual(NamedTuple):
    """What a device keeps of one update, by what becomes of that: each (unmasked,)."""

    accepted: F16
    refused: F16


def owed(delta: F32, kept: F16 | None) -> F32:
    """What an update should say: what training changed, and what was left out before."""
    return delta if kept is None else delta + kept.astype(np.float32)


def residual(owing: F32, sent: F32) -> Residual:
    """What is kept of an update that owed `owing` and said `sent`."""
    return Residual(_half(owing - sent), _half(owing))


def _half(values: F32) -> F16:
    return np.clip(values, -_MOST, _MOST).astype(np.float16)
