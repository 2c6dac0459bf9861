"""What codecs share: the type of an update, and what is checked of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wire.errors import CodecError

F32 = NDArray[np.float32]
SMALLEST = float(np.finfo(np.float32).tiny)  # no subnormal scales: many devices flush them to zero


def check_finite(values: F32, where: str) -> None:
    """Raise CodecError at the first value that is not finite."""
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        raise CodecError(f"{where}[{at}]", str(values[at]), "finite numbers")


def read_floats(data: bytes, at: int, count: int) -> F32:
    """`count` little-endian float32 from offset `at`: scales, so finite and not negative."""
    raw = data[at : at + 4 * count]
    if len(raw) != 4 * count:
        raise CodecError("update", f"{len(data)} bytes", f"{count} scales at byte {at}")
    floats = np.frombuffer(raw, "<f4").astype(np.float32)
    if not np.all(np.isfinite(floats) & (floats >= 0)):
        raise CodecError("update", f"scales {floats.min()} to {floats.max()}", "finite, from 0 on")
    return floats
