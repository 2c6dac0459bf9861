"""The data that never leaves a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Shard:
    """One device's samples: x (n, *shape) scaled for the model, y (n,) classes."""

    x: NDArray[np.float32]
    y: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.y)
