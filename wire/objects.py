"""The objects that travel in blocks: how the base file is packed, and how each is announced."""

from __future__ import annotations

from wire.digest import digest_of
from wire.messages import Kind, Manifest
from wire.packing import pack, unpack


def manifest_of(kind: Kind, data: bytes, source: int = 0, target: int = 0) -> Manifest:
    """The announcement of the object `data`; a DIFFERENCE names its two versions."""
    return Manifest(kind, len(data), digest_of(data), source, target)


def pack_base(file: bytes) -> bytes:
    """A model file as a BASE object."""
    return pack(file)


def unpack_base(data: bytes, most: int) -> bytes:
    """The model file in a BASE object: at most `most` bytes, else a CodecError."""
    return unpack(data, most, "base")
