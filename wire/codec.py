"""Client updates as bytes: the change of every parameter that trains, tensor after tensor.

Which those are is not sent: both sides read the mask from the base file, and what trains from
the task's recipe.  `bounds` says where the tensors' values begin in the flat vector: tensor t is
values[bounds[t]:bounds[t + 1]], bounds[0] is 0 and bounds[-1] is n.
docs/protocol.md gives the layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from wire.codecs.drive import Drive
from wire.codecs.floats import Floats
from wire.codecs.int8 import Int8
from wire.codecs.microfed import Microfed
from wire.codecs.peaks import Peaks
from wire.codecs.qsgd import Qsgd
from wire.codecs.signsgd import SignSgd
from wire.codecs.stc import Stc
from wire.codecs.topk import TopK
from wire.codecs.values import F32


class Codec(Protocol):
    """A way to write an update."""

    @property
    def name(self) -> str:
        """What Task.codec and Offer.codec call it."""

    @property
    def feedback(self) -> bool:
        """Whether so much is left out that a device must keep it for its next update."""

    def encode(self, delta: F32, bounds: tuple[int, ...], budget: int = 0, seed: int = 0) -> bytes:
        """The update `delta`, float32 (n,); CodecError if a value is not finite.

        budget: bytes at most, for a codec that can choose; 0: its own choice.
        seed: of a codec that throws dice.
        """

    def decode(self, data: bytes, n: int, bounds: tuple[int, ...]) -> F32:
        """Exactly n finite float32 from any bytes, else CodecError; memory is O(n)."""


_ALL: tuple[Codec, ...] = (
    Microfed(),
    Peaks(),
    Int8(),
    Floats("float32", "<f4"),
    Floats("float16", "<f2"),
    TopK(),
    Stc(),
    Qsgd(),
    SignSgd(),
    Drive(),
)
CODECS: Mapping[str, Codec] = MappingProxyType({codec.name: codec for codec in _ALL})
