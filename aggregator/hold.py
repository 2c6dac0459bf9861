"""Which codes a new version moves: those whose master has gone far enough from them.

A code that rounding would move to and fro costs every device bytes, each time, and moves
the model by less than a device's own noise.  The master keeps what the codes do not show,
so nothing is lost: when enough has come together, the code moves, and then to where it
should be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tflite_models.parameters import Layout, Weights, requantize, to_float
from wire.difference import Codes, Frame, carried

REACH = 3.0  # codes that a weight's master may be away
# A bias of so many codes moves an output as far as a weight of one does, when its input is
# a quarter of what int8 holds.
PER_WEIGHT = 64.0


def hold(layout: Layout, master: NDArray[np.float64], before: Weights) -> Weights:
    """The version after `before`, from real values (size,).

    Scales grow as `requantize` lets them; a code that stays stands for what it did before.
    Raises ModelError for values that are not finite.
    """
    new = requantize(layout, master, before.scales)
    frame = Frame(layout.mask, layout.channels)
    stays = carried(Codes(before.codes, before.scales), new.scales, frame)
    unit = to_float(layout, Weights(np.ones(layout.size, np.int32), new.scales))
    reach = np.full(layout.size, REACH)
    for slot in layout.slots:
        if slot.kind == "bias":
            reach[slot.start : slot.stop] *= PER_WEIGHT
    far = np.abs(master / unit - stays) > reach
    return Weights(np.where(far, new.codes, stays).astype(np.int32), new.scales)
