"""Which parameters train while the others stay: the scope of a training.

A scope is chosen tensor by tensor and travels as bits, one for each slot of the layout: bit t
(byte t // 8, least significant first) says that slot t trains.  No bytes: all do.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tflite_models.errors import ModelError
from tflite_models.layout import Layout

ALL = b""
MOST_SLOTS = 256  # of a layout that can be trained in part: a Recipe has no room for more bits


@dataclass(frozen=True, eq=False)
class Scope:
    """The part of the parameter vector that an update is about.

    `mask` (layout.size,) is True where a parameter trains: its slot does, and it is not
    pruned.  `bounds` says where each slot's values begin and end in an update:
    (0, ..., its length); a slot that stays has none.
    """

    mask: NDArray[np.bool_]
    bounds: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many values an update has."""
        return self.bounds[-1]


@lru_cache(maxsize=16)
def scope_of(layout: Layout, bits: bytes) -> Scope:
    """The scope that bits stand for.

    Raises ValueError for bits that are not of this layout, and where nothing would train.
    """
    mask = layout.mask
    if bits:
        mask = np.zeros_like(mask)
        for slot, trains in zip(layout.slots, _unpacked(layout, bits), strict=True):
            if trains:
                mask[slot.start : slot.stop] = layout.mask[slot.start : slot.stop]
    counted = np.concatenate(([0], np.cumsum(mask)))
    scope = Scope(mask, (0, *(int(counted[slot.stop]) for slot in layout.slots)))
    if not scope.size:
        raise ValueError(f"trains {bits.hex() or 'all'}: no parameter of the model would train")
    return scope


def trained_slots(layout: Layout, bits: bytes) -> frozenset[int]:
    """The numbers of the slots that train.  Raises ValueError like `scope_of`."""
    if not bits:
        return frozenset(range(len(layout.slots)))
    return frozenset(np.flatnonzero(_unpacked(layout, bits)).tolist())


def named_scopes(layout: Layout) -> dict[str, bytes]:
    """The bits of every scope that has a name, and something to train.

    all; last-k, the last k layers with their biases, where there are more; head, the last
    one; biases (Cai et al. 2020, arXiv:2007.11622, who find them worth most for their
    memory).  A layer is a weight tensor, however many operators share it.
    """
    slots = layout.slots
    layers = [number for number, slot in enumerate(slots) if slot.kind == "weight"]
    chosen: dict[str, Container[int]] = {}
    for count in range(len(layers) - 1, 0, -1):
        last = set(layers[-count:])
        name = "head" if count == 1 else f"last-{count}"
        chosen[name] = {i for i, slot in enumerate(slots) if i in last or slot.weight in last}
    chosen["biases"] = {i for i, slot in enumerate(slots) if slot.kind == "bias"}
    found = {"all": ALL}
    for name, numbers in chosen.items():
        bits = _packed([i in numbers for i in range(len(slots))])
        if len(slots) <= MOST_SLOTS and _trains_something(layout, bits):
            found[name] = bits
    return found


def bits_of(layout: Layout, name: str) -> bytes:
    """The bits of a scope's name; ModelError, with the names that the model has, for another."""
    named = named_scopes(layout)
    if name not in named:
        allowed = ", ".join(named)
        raise ModelError("train", f"{name!r} is no part of this model: allowed are {allowed}")
    return named[name]


def _packed(trains: list[bool]) -> bytes:
    return np.packbits(trains, bitorder="little").tobytes()


def _unpacked(layout: Layout, bits: bytes) -> NDArray[np.uint8]:
    """A bit for each slot, and none left over."""
    slots = len(layout.slots)
    flags = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    if len(bits) != -(-slots // 8) or flags[slots:].any():
        raise ValueError(f"trains {bits.hex()}: not one bit for each of {slots} tensors")
    return flags[:slots]


def _trains_something(layout: Layout, bits: bytes) -> bool:
    try:
        return scope_of(layout, bits).size > 0
    except ValueError:
        return False
