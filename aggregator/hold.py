"""Which codes a new version moves: those whose master has gone far enough from them.

A code that rounding would move to and fro costs every device bytes, each time, and moves
the model by less than a device's own noise.  The master keeps what the codes do not show,
so nothing is lost: when enough has come together, the code moves, and then to where it
should be.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tflite_models.parameters import Layout, Weights, requantize, to_float
from wire.difference import Codes, Frame, carried

REACH = 3.5  # codes that a weight's master may be away, at most
# A bias of so many codes moves an output as far as a weight of one does, when its input is
# a quarter of what int8 holds.
PER_WEIGHT = 64.0
ROUNDING = 0.5  # what is always away


def hold(layout: Layout, master: NDArray[np.float64], before: Weights) -> Weights:
    """The version after `before`, from real values (size,).

    Scales grow as `requantize` lets them; a code that stays stands for what it did before.
    Raises ModelError for values that are not finite.
    """
    new = requantize(layout, master, before.scales)
    frame = Frame(layout.mask, layout.channels)
    stays = carried(Codes(before.codes, before.scales), new.scales, frame)
    unit = to_float(layout, Weights(np.ones(layout.size, np.int32), new.scales))
    far = np.abs(master / unit - stays) > reaches(layout)
    return Weights(np.where(far, new.codes, stays).astype(np.int32), new.scales)


@lru_cache(maxsize=4)  # a run has one layout
def reaches(layout: Layout) -> NDArray[np.float64]:
    """How far each master may be away from its code, (size,), in codes.

    The root of a tensor's size against the mean: one of few weights, as the first of a
    network often is, is cheap to have exactly and dear to have wrong.
    """
    sizes = {s: slot.stop - slot.start for s, slot in enumerate(layout.slots) if slot.weight < 0}
    mean = sum(sizes.values()) / len(sizes)
    found = np.empty(layout.size)
    for s, slot in enumerate(layout.slots):
        of = slot.weight if slot.kind == "bias" else s
        reach = max(REACH * min(1.0, (sizes[of] / mean) ** 0.5), ROUNDING)
        found[slot.start : slot.stop] = reach * (PER_WEIGHT if slot.kind == "bias" else 1.0)
    return found
