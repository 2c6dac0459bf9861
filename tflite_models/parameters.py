"""The parameters of an int8 .tflite file as one flat vector that every part agrees on.

Weights and biases of the convolutions and fully connected layers, operators
in graph order, weight before bias, each tensor flat in C order and once.
real = scale · code, all zero points being 0.  The scale of a bias is not a
parameter: it is the scale of the operator's input times that of the weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tflite_models.errors import ModelError
from tflite_models.graph import Graph, allowed_scales, read_graph
from tflite_models.layout import Layout, Slot, constant, layout_of, quantization

__all__ = [
    "Layout",
    "Slot",
    "Weights",
    "layout_of",
    "patch",
    "requantize",
    "slot_scales",
    "to_float",
    "weights_of",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

MAX_CODE = 127  # weights are symmetric: −128 is never made
MAX_BIAS = 2**30 + 2**20  # converters go up to 2^30; the rest of int32 is for the accumulator
HEADROOM = 1.1  # by how much a scale that must grow outgrows what it must hold


@dataclass(frozen=True, eq=False)
class Weights:
    """One version of the model's parameters: codes (size,) and weight scales (scales,)."""

    codes: I32
    scales: F32


def weights_of(graph: Graph, layout: Layout) -> Weights:
    """The parameters that a file holds."""
    codes = np.zeros(layout.size, np.int32)
    scales = np.zeros(layout.scales, np.float32)
    for slot in layout.slots:
        codes[slot.start : slot.stop] = constant(graph, slot).reshape(-1)
        if slot.kind == "weight":
            scales[slot.scale_start : slot.scale_stop] = quantization(graph, slot).scale
    return Weights(codes, scales)


def to_float(layout: Layout, weights: Weights) -> F32:
    """The real values (size,): float32(code) · scale in float32, as a device computes them.

    `requantize` gives the same codes back as long as those of biases are below 2^23.
    """
    real = weights.codes.astype(np.float32)
    for slot in layout.slots:
        values = real[slot.start : slot.stop].reshape(slot.shape)
        values *= _along(slot, slot_scales(slot, weights.scales))
    return real


def requantize(layout: Layout, master: F64, scales: F32) -> Weights:
    """Round real values (size,) to codes, half to even.

    The scale of a channel is kept as long as its weights fit in ±127 codes
    and its bias in ±MAX_BIAS; else it grows to what they need, with headroom.
    Masked weights stay 0.  Raises ModelError for values that are not finite.
    """
    if not np.isfinite(master).all():
        raise ModelError("requantize", "the master holds values that are not finite")
    grown = scales.copy()
    values = np.where(layout.mask, master, 0.0)
    for slot in layout.slots:
        most, limit = (MAX_CODE, MAX_CODE) if slot.kind == "weight" else (MAX_BIAS, 2**30)
        channels = grown[slot.scale_start : slot.scale_stop]
        peak = _peaks(slot, np.abs(values[slot.start : slot.stop]).reshape(slot.shape))
        unit = slot.input_scale if slot.kind == "bias" else 1.0
        full = np.rint(peak / slot_scales(slot, grown)) > most
        channels[full] = (peak[full] * HEADROOM / (limit * unit)).astype(np.float32)
    codes = np.empty(layout.size, np.int32)
    for slot in layout.slots:
        scale = _along(slot, slot_scales(slot, grown)).astype(np.float64)
        real = values[slot.start : slot.stop].reshape(slot.shape)
        codes[slot.start : slot.stop] = np.rint(real / scale).reshape(-1)
    return Weights(codes, grown)


def patch(file: bytes, layout: Layout, weights: Weights) -> bytes:
    """The file with these parameters, of the same length; every other byte as it was.

    A bias' scale is written only where its weight's scale differs from the
    file's: converters round it in their own way.  Raises ModelError when the
    layout is not the file's, or a code or a scale cannot stand in it.
    """
    if weights.codes.shape != (layout.size,) or weights.scales.shape != (layout.scales,):
        raise ModelError("patch", f"{weights.codes.size} codes for a layout of {layout.size}")
    if not allowed_scales(weights.scales):
        raise ModelError("patch", "a scale is not between 2^-63 and 2^63")
    patched = bytearray(file)
    graph = read_graph(patched)  # its arrays are writable views of `patched`
    if layout_of(graph).slots != layout.slots:
        raise ModelError("patch", "the layout is not that of the file")
    before = weights_of(graph, layout).scales
    for slot in layout.slots:
        data, own = constant(graph, slot), quantization(graph, slot).scale
        codes = weights.codes[slot.start : slot.stop].reshape(slot.shape)
        data[...] = codes
        if not np.array_equal(data, codes):
            raise ModelError(f"tensor {slot.tensor}", f"a code does not fit {data.dtype.name}")
        span = slice(slot.scale_start, slot.scale_stop)
        changed = weights.scales[span] != before[span]
        own[changed] = slot_scales(slot, weights.scales)[changed]
    return bytes(patched)


def slot_scales(slot: Slot, scales: F32) -> F32:
    """The scales of one slot's own tensor, (k,): of a bias, input scale · weight scale."""
    own = scales[slot.scale_start : slot.scale_stop]
    return own if slot.kind == "weight" else own * np.float32(slot.input_scale)


def _along(slot: Slot, scales: F32) -> F32:
    """Scales (k,) shaped to broadcast over the slot's tensor."""
    if scales.size == 1:
        return scales.reshape(())
    return scales.reshape([-1 if i == slot.axis else 1 for i in range(len(slot.shape))])


def _peaks(slot: Slot, magnitude: F64) -> F64:
    """The largest magnitude for each of the slot's scales, (k,)."""
    k = slot.scale_stop - slot.scale_start
    rows = np.moveaxis(magnitude, slot.axis, 0) if k > 1 else magnitude
    peaks: F64 = rows.reshape(k, -1).max(axis=1)
    return peaks
