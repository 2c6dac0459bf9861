"""Build a .tflite flatbuffer in which equal parts stand once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

ALIGNMENT = 16  # of buffers, as the schema asks (force_align)


class Packer:
    """Makes parts and gives their offsets; asked for an equal part it gives the same offset.

    A flatbuffer is built back to front: what is made first lies last.  `own`
    is for arrays that will be written to: it keeps them apart from equal ones.
    """

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(4096)
        self._made: dict[Hashable, int] = {}

    def array(self, values: NDArray[Any], own: Hashable = None) -> int:
        """A vector of numbers."""
        key = ("array", own, values.dtype.str, values.tobytes())
        return self._once(key, lambda: self._builder.CreateNumpyVector(values))

    def indices(self, values: Sequence[int]) -> int:
        """A vector of int32: a shape, or the inputs of an operator."""
        return self.array(np.array(values, np.int32))

    def data(self, raw: bytes, own: Hashable = None) -> int:
        """The contents of a buffer, aligned."""

        def make() -> int:
            self._builder.Prep(ALIGNMENT, len(raw))
            return int(self._builder.CreateByteVector(raw))

        return self._once(("data", own, raw), make)

    def text(self, value: str) -> int:
        """A string."""
        return self._once(("text", value), lambda: self._builder.CreateString(value))

    def tables(self, offsets: Sequence[int]) -> int:
        """A vector of tables."""
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def table(self, kind: str, **fields: int) -> int:
        """A table of the schema; a field at its default, or with no offset (0), takes no bytes."""

        def make() -> int:
            getattr(schema, kind + "Start")(self._builder)
            for name, value in fields.items():
                getattr(schema, f"{kind}Add{name}")(self._builder, value)
            return int(getattr(schema, kind + "End")(self._builder))

        return self._once((kind, *fields.items()), make)

    def options(self, kind: int, table: Any) -> int:
        """A copy of an operator's options, all fields of the schema; 0 for none."""
        copied = schema.BuiltinOptionsCreator(kind, table)
        if copied is None:
            return 0
        fields = tuple((k, np.asarray(v).tolist()) for k, v in vars(copied).items())
        return self._once((kind, repr(fields)), lambda: copied.Pack(self._builder))

    def finish(self, root: int) -> bytes:
        """The whole file."""
        self._builder.Finish(root, b"TFL3")
        return bytes(self._builder.Output())

    def _once(self, key: Hashable, make: Callable[[], Any]) -> int:
        if key not in self._made:
            self._made[key] = int(make())
        return self._made[key]
