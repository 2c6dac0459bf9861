"""The models that devices hold, shared in memory by all devices of a process.

Every device gets its own bytes over the wire and checks them before they come
here; what they decode to is kept once for all who hold the same, and forgotten
with the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from device_sim.trainer import Trainer
from tflite_models.errors import ModelError
from tflite_models.graph import Graph, read_graph
from tflite_models.parameters import Layout, Weights, layout_of, to_float, weights_of
from wire.base import unpack_base
from wire.difference import Codes, Frame, apply_difference, check_of
from wire.errors import WireError
from wire.messages import Manifest, Task

TrainerOf = Callable[[Graph, Layout], Trainer]


class DamagedError(Exception):
    """The bytes are not what their manifest or their task promised."""


class UntrainableError(Exception):
    """A sound file, but not one that this device can train."""


@dataclass(frozen=True, eq=False)
class Base:
    """A base file, read: what its parameters are and how to train them."""

    digest: bytes  # SHA-256 of the .tflite file
    layout: Layout
    trainer: Trainer
    start: Weights  # version 0


@dataclass(frozen=True, eq=False)
class Model:
    """One version of a base's parameters."""

    base: Base
    version: int
    weights: Weights
    path: bytes  # names the objects that first gave it, in order

    @cached_property
    def check(self) -> int:
        """Tells it from another version of the same number; 0 for version 0."""
        return check_of(Codes(self.weights.codes, self.weights.scales)) if self.version else 0

    @property
    def floats(self) -> NDArray[np.float32]:
        """The parameters as float32 (layout.size,): codes times scales."""
        return _floats(self.base.layout, self.weights)


# Many a version is held by devices that wait for another: only of those in training, which are
# mostly of one round, are the floats kept.
_floats = lru_cache(maxsize=2)(to_float)


class Models:
    """Turns pulled objects into models; the same object gives the same Model.

    Args:
        trainer: makes what trains a network from its graph and layout.
        most: bytes; a base file that unpacks to more is refused.
    """

    def __init__(self, trainer: TrainerOf, most: int) -> None:
        self._trainer = trainer
        self._most = most
        self._models: WeakValueDictionary[bytes, Model] = WeakValueDictionary()
        self._versions: WeakValueDictionary[tuple[Base, int, int], Model] = WeakValueDictionary()
        # Apart from version 0: all have gone on from there, and the next still wants the file read.
        self._bases: WeakValueDictionary[bytes, Base] = WeakValueDictionary()
        # A cohort is sent the same task, and many of it hold the same: (task, from path, to path).
        self._ways: deque[tuple[Task, bytes, bytes]] = deque(maxlen=8)

    def base(self, packed: bytes, manifest: Manifest, digest: bytes) -> Model:
        """Version 0 of the base file that hashes to `digest`, packed as its manifest says.

        Raises DamagedError, or UntrainableError when it cannot be trained here.
        """
        path = manifest.digest + digest
        base = self._bases.get(path)
        if base is None:
            base = self._bases[path] = self._read(packed, digest)
        return self.start(base)

    def start(self, base: Base) -> Model:
        """Version 0 of a base file that was read before; however that was packed, one for all."""
        model = self._models.get(base.digest)
        if model is None:
            model = self._models[base.digest] = Model(base, 0, base.start, base.digest)
        return model

    def advance(self, model: Model, difference: bytes, manifest: Manifest) -> Model:
        """Apply a difference that leads from `model` to version manifest.target.

        Raises DamagedError when it does not fit the model.
        """
        path = sha256(model.path + manifest.digest + manifest.target.to_bytes(4)).digest()
        later = self._models.get(path)
        if later is None:
            old = Codes(model.weights.codes, model.weights.scales)
            layout = model.base.layout
            try:
                codes = apply_difference(difference, old, Frame(layout.mask, layout.channels))
            except WireError as error:
                raise DamagedError(str(error)) from error
            weights = Weights(codes.codes, codes.scales)
            later = self._shared(Model(model.base, manifest.target, weights, path))
            self._models[path] = later
        return later

    def led(self, held: Model | None, task: Task) -> Model | None:
        """What the objects inside `task` made of `held` before, if that is remembered."""
        start = held.path if held else b""
        for known, begun, ended in self._ways:
            if known is task and begun == start:
                model = self._models.get(ended)
                if model is not None:  # else it may be held again, come to on another path
                    return model
        return None

    def remember(self, held: Model | None, task: Task, model: Model) -> None:
        """Note that the objects inside `task`, all sound, made `model` of `held`."""
        self._ways.append((task, held.path if held else b"", model.path))

    def _shared(self, model: Model) -> Model:
        """The Model of the same parameters that was reached on another path, if there is one."""
        other = self._versions.setdefault((model.base, model.version, model.check), model)
        same = other is model or (
            np.array_equal(other.weights.codes, model.weights.codes)
            and np.array_equal(other.weights.scales, model.weights.scales)
        )
        return other if same else model

    def _read(self, packed: bytes, digest: bytes) -> Base:
        try:
            file = unpack_base(packed, self._most)
        except WireError as error:
            raise DamagedError(str(error)) from error
        if sha256(file).digest() != digest:
            raise DamagedError("the base file is not the one that the task names")
        try:
            graph = read_graph(file)
            layout = layout_of(graph)
            return Base(digest, layout, self._trainer(graph, layout), weights_of(graph, layout))
        except ModelError as error:
            raise UntrainableError(str(error)) from error
