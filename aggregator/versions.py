"""The versions of the model: from the base file on, as arrays, as files and as objects to serve.

`Model` is what one version is and what the next grows from; `Versions` knows
the base file and makes what devices pull: the file itself, or the difference
between two versions, coded when first asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.base import runs_of
from aggregator.hold import hold
from aggregator.rules import Rule, State
from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.parameters import (
    Weights,
    layout_of,
    patch,
    to_float,
    weights_of,
)
from tflite_models.scope import bits_of, scope_of
from wire.base import pack_base
from wire.blocks import serve
from wire.cbor import encode
from wire.difference import Codes, Frame, check_of, encode_difference
from wire.messages import Kind, Manifest, Need
from wire.objects import manifest_of

F64 = NDArray[np.float64]

CACHED_BYTES = 32 * 1024 * 1024  # of coded differences; more are coded again when asked for
CACHED_VERSIONS = 4  # of arrays; the store has all
RECENT = 4  # versions back: who holds an older one begins at 0, where one difference serves all
CACHED_WINDOWS = 32  # answers to a Need, 256 KB each at most: a cohort asks for the same


class Held(NamedTuple):
    """What a device has of us."""

    base: bytes  # SHA-256 of the base file
    version: int
    check: int  # as `Versions.check` has it


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """One version, and what the next is made from."""

    version: int
    weights: Weights
    master: F64  # (size,): keeps what rounding to codes lost
    rule_state: State


class Versions:
    """The versions of one base file.

    Args:
        base: the .tflite file as it left the pipeline; ModelError if it cannot be trained.
        load: gives the weights of an older version, from the store.
        train: the part of it that trains; ModelError if it has no such part.
    """

    def __init__(self, base: bytes, load: Callable[[int], Weights], train: str = "all") -> None:
        graph = read_graph(base)
        self.layout = layout_of(graph)
        self.digest = sha256(base).digest()
        if not self.layout.mask.any():
            raise ModelError("base file", "has no parameters that can be trained")
        self.trains = bits_of(self.layout, train)
        self._scope = scope_of(self.layout, self.trains)
        self.size = self._scope.size  # values in an update
        self.bounds = self._scope.bounds
        self._base = base
        self._first = weights_of(graph, self.layout)
        self._packed = pack_base(base, runs_of(base))
        self._base_manifest = manifest_of(Kind.BASE, self._packed)
        self._load = load
        self._weights: OrderedDict[int, Weights] = OrderedDict()
        self._checks = {0: 0}  # the base file has its digest
        self._coded: OrderedDict[tuple[int, int], tuple[Manifest, bytes]] = OrderedDict()
        self._ids: dict[bytes, tuple[int, int]] = {}  # of differences to the newest version
        self._newest = 0
        self._windows: OrderedDict[Need, tuple[bytes, ...]] = OrderedDict()

    def first(self, rule: Rule) -> Model:
        """Version 0: the base file itself."""
        master = to_float(self.layout, self._first).astype(np.float64)
        return Model(0, self._first, master, rule.init(self.size))

    def advance(self, model: Model, mean: F64, rule: Rule) -> Model:
        """The next version, from the mean update (size,)."""
        move, rule_state = rule.apply(model.rule_state, mean)
        master = model.master.copy()
        master[self._scope.mask] += move
        weights = hold(self.layout, master, model.weights)
        return Model(model.version + 1, weights, master, rule_state)

    def keep(self, model: Model) -> None:
        """Remember a version that was made: it is asked for next."""
        self._remember(model.version, model.weights)

    def _remember(self, version: int, weights: Weights) -> None:
        self._weights[version] = weights
        if len(self._weights) > CACHED_VERSIONS:
            self._weights.popitem(last=False)

    def file(self, weights: Weights) -> bytes:
        """A version as a .tflite file."""
        return patch(self._base, self.layout, weights)

    def check(self, version: int) -> int:
        """What devices know a version by, besides its number; 0 for version 0."""
        if version not in self._checks:
            weights = self._get(version)
            self._checks[version] = check_of(Codes(weights.codes, weights.scales))
        return self._checks[version]

    def objects_for(self, held: Held, target: int) -> tuple[Manifest, ...]:
        """What a device must pull, in order, to hold version `target`.

        A version that it holds counts if it is one of ours.  If not, it begins
        at version 0, which whoever holds the base file has.
        """
        start = held.version
        needed: tuple[Manifest, ...] = ()
        if held.base != self.digest:
            needed, start = (self._base_manifest,), 0
        elif not target - RECENT <= start <= target or held.check != self.check(start):
            start = 0
        if start < target:
            needed += (self._difference(start, target)[0],)
        return needed

    def find(self, object_id: bytes) -> bytes | None:
        """The bytes of an object that tasks of the newest version name, or None."""
        if object_id == self._base_manifest.id:
            return self._packed
        versions = self._ids.get(object_id)
        return None if versions is None else self._difference(*versions)[1]

    def serve(self, need: Need) -> tuple[bytes, ...] | None:
        """The messages that answer a Need; None if there is no such object."""
        data = self.find(need.id)
        if data is None:
            return None
        if need not in self._windows:
            blocks = serve(need, {need.id: data})
            self._windows[need] = tuple(encode(block) for block in blocks)
            if len(self._windows) > CACHED_WINDOWS:
                self._windows.popitem(last=False)
        return self._windows[need]

    def _difference(self, source: int, target: int) -> tuple[Manifest, bytes]:
        if target != self._newest:
            self._newest = target
            self._ids.clear()
            self._coded.clear()
        found = self._coded.get((source, target))
        if found is None:
            old, new = self._get(source), self._get(target)
            data = encode_difference(
                Codes(old.codes, old.scales),
                Codes(new.codes, new.scales),
                Frame(self.layout.mask, self.layout.channels),
            )
            found = manifest_of(Kind.DIFFERENCE, data, source, target), data
            self._coded[source, target] = found
            self._ids[found[0].id] = source, target
            _shrink(self._coded)
        self._coded.move_to_end((source, target))
        return found

    def _get(self, version: int) -> Weights:
        if version == 0:
            return self._first
        if version not in self._weights:
            self._remember(version, self._load(version))
        self._weights.move_to_end(version)
        return self._weights[version]


def _shrink(coded: OrderedDict[tuple[int, int], tuple[Manifest, bytes]]) -> None:
    total = sum(len(data) for _, data in coded.values())
    while total > CACHED_BYTES and len(coded) > 1:
        _, (_, data) = coded.popitem(last=False)
        total -= len(data)
