"""Training on a device of little memory: what does not train stays int8 codes, in flash.

firmware/core/include/microfed/train.h (mf_stored) is the contract.  A device calls the same
functions; here they say how much memory that takes, and hold it against `Plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, c_float, c_int32
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.train import (
    ALIGN,
    F32,
    MEMORY,
    Model,
    Recipe,
    Samples,
    Stored,
    aligned,
    check,
    functions,
)
from tflite_models.parameters import Layout, Slot, Weights

WORD = 32  # bits; a pointer of a microcontroller has as many


@dataclass(frozen=True, eq=False)
class Codes:
    """The parameters of one step as its int8 file has them: the arrays of mf_stored."""

    weights: NDArray[np.int8]
    bias: NDArray[np.int32] | None
    scales: F32
    mask: NDArray[np.uint32] | None  # None: no weight is pruned
    input_scale: float

    def struct(self) -> Stored:
        """Addresses of the arrays, which must outlive it."""
        bias = 0 if self.bias is None else self.bias.ctypes.data
        mask = 0 if self.mask is None else self.mask.ctypes.data
        arrays = (self.weights.ctypes.data, bias, self.scales.ctypes.data, mask)
        return Stored(*arrays, self.scales.size, self.input_scale)


def codes_of(model: Model, layout: Layout, weights: Weights) -> tuple[Codes | None, ...]:
    """What each step of a model has stored; None for steps without parameters."""
    slots = {slot.start: slot for slot in layout.slots}
    found: list[Codes | None] = []
    for step in model.steps:
        slot = slots.get(step.weight)
        bias = slots.get(step.bias)
        found.append(None if slot is None else _codes(slot, bias, layout, weights))
    return tuple(found)


def _codes(slot: Slot, bias: Slot | None, layout: Layout, weights: Weights) -> Codes:
    def part(slot: Slot) -> NDArray[np.int32]:
        return weights.codes[slot.start : slot.stop]

    unpruned = layout.mask[slot.start : slot.stop]
    return Codes(
        part(slot).astype(np.int8),
        None if bias is None else np.ascontiguousarray(part(bias)),
        np.ascontiguousarray(weights.scales[slot.scale_start : slot.scale_stop]),
        None if unpruned.all() else mask_words(unpruned),
        0.0 if bias is None else float(np.float32(bias.input_scale)),
    )


def mask_words(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """mf_stored.mask: bit i of the array as bit i % 32 of word i / 32."""
    padded = np.zeros(-(-bits.size // WORD) * WORD, np.bool_)
    padded[: bits.size] = bits
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)


class StoredPlan:
    """mf_plan of mf_plan_stored."""

    def __init__(
        self, model: Model, trains: bytes, codes: Sequence[Codes | None], tile: int = 1
    ) -> None:
        """`trains` as for Plan; `codes` has an element for each step.  Raises CoreError."""
        self._core = functions()
        self._keeps = (model, codes)
        empty = Stored()
        self._stored = (Stored * len(codes))(*(c.struct() if c else empty for c in codes))
        self.own_bytes = int(self._core.mf_plan_bytes(byref(model.struct)))
        self._block = np.empty(self.own_bytes + ALIGN, np.uint8)
        self._at = aligned(self._block)
        check(
            "mf_plan_stored",
            self._core.mf_plan_stored(
                *(byref(model.struct), trains, self._stored, tile, self._at, self.own_bytes)
            ),
        )
        self.parameters = int(self._core.mf_stored_count(self._at))

    @property
    def places(self) -> tuple[tuple[int, ...], int]:
        """mf_plan_places: three numbers of each tensor, and the floats that they take."""
        found = (c_int32 * (3 * len(self._keeps[0].tensors)))()
        floats = int(self._core.mf_plan_places(self._at, found))
        return tuple(found), floats

    @property
    def static_bytes(self) -> int:
        """MF_PLAN_BYTES on a microcontroller."""
        model = self._keeps[0]
        return WORD // 8 * (40 + 12 * len(model.tensors) + 34 * len(model.steps))

    def memory(self, recipe: Recipe, samples: int) -> int:
        """Bytes that a call of `train` needs, plan and weights not among them."""
        return int(self._core.mf_train_bytes(self._at, byref(recipe), samples))

    def train(
        self, recipe: Recipe, x: F32, y: NDArray[np.int32], seed: int
    ) -> tuple[F32, float, float]:
        """The trained weights (parameters,), and the mean losses before and after.

        Raises CoreError.
        """
        samples = Samples(x.ctypes.data, y.ctypes.data, len(x))
        weights = np.empty(self.parameters, np.float32)
        losses = (c_float * 2)()
        size = self.memory(recipe, len(x))
        check(
            "mf_train_stored",
            self._core.mf_train_stored(
                *(self._at, byref(recipe), byref(samples), seed, weights.ctypes.data),
                *(losses, MEMORY.at_least(size), size),
            ),
        )
        return weights, losses[0], losses[1]

    def update(self, weights: F32) -> F32:
        """What is sent: trained weights less the stored ones."""
        update = weights.copy()
        self._core.mf_stored_update(self._at, update.ctypes.data)
        return update
