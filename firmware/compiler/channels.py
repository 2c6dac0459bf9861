"""Dropping channels that pruning killed, so that no byte of the output changes.

A channel whose weights are all zero shows one code at every position.  What it adds to the
sums of the next convolution is a constant, which goes into that layer's bias, and the channel
need not be computed, stored or read.  At the border of a padded window the taps outside see
the zero point and not the channel's code: there the constant would be wrong unless the two are
the same, and the channel stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import Conv, Dense, MeanAxis, Pool, Shape
from firmware.compiler.network import Layer, Network, Tensor, Weights
from firmware.compiler.rounding import Flags, Ints


@dataclass(frozen=True, eq=False)
class _Known:
    """Of each channel of a tensor: whether it shows one code only, and which."""

    constant: Flags
    code: Ints


def drop_channels(network: Network) -> Network:
    """The network without channels that are constant or unused; its output is the same."""
    known = _find_constants(network)
    needed = _find_needed(network, known)
    keep = {t: np.flatnonzero(flags) for t, flags in needed.items() if not flags.all()}
    if not keep:
        return network
    layers = tuple(_without(layer, network, known, keep) for layer in network.layers)
    tensors = {t: _narrowed(tensor, keep.get(t)) for t, tensor in network.tensors.items()}
    return replace(network, layers=layers, tensors=tensors)


# --- forwards: which channels are constant


def _find_constants(network: Network) -> dict[int, _Known]:
    known: dict[int, _Known] = {}
    for layer in network.layers:
        source = known.get(layer.reads[0]) if layer.reads else None
        if source is None and layer.reads:
            source = _nothing_known(network.tensors[layer.reads[0]])
        found = None
        if layer.weights is not None and source is not None:
            found = _of_products(layer, source)
        elif isinstance(layer.call.parameters, Pool) and source is not None:
            p = layer.call.parameters
            found = _Known(source.constant, source.code.clip(p.least, p.most))
        known[layer.output] = found or _nothing_known(network.tensors[layer.output])
    return known


def _nothing_known(tensor: Tensor) -> _Known:
    channels = _channels(tensor)
    return _Known(np.zeros(channels, np.bool_), np.zeros(channels, np.int64))


def _channels(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _of_products(layer: Layer, source: _Known) -> _Known | None:
    """What is known of the output of a layer with weights."""
    p, weights = layer.call.parameters, layer.weights
    assert weights is not None
    if isinstance(p, Conv) and layer.call.kernel == "depthwise_conv_2d":
        if p.depth != 1:
            return None
        return _of_depthwise(p, weights, source)
    per_channel = _by_channel(layer, weights, len(source.constant))
    if per_channel is None:
        return None
    used = per_channel.any(axis=1)  # (outputs, channels)
    folds = _folds(layer, source)
    constant = np.asarray(~(used & ~folds).any(axis=1), np.bool_)
    return _Known(constant, _codes(layer, weights, _folded(layer, per_channel, source, folds)))


def _of_depthwise(p: Conv, weights: Weights, source: _Known) -> _Known:
    """A constant input gives a constant output where every border gives the same code."""
    excess = source.code - p.input_zero
    patterns = _tap_patterns(p)
    codes = np.stack(
        [
            _scaled(weights, (weights.codes * seen).sum(axis=(1, 2), dtype=np.int64) * excess, p)
            for seen in patterns
        ]
    )
    same = (codes == codes[0]).all(axis=0)
    dead = ~weights.codes.any(axis=(1, 2))
    return _Known((source.constant & same) | dead, codes[0])


def _tap_patterns(p: Conv) -> list[NDArray[np.int64]]:
    """Which taps of a window lie inside, for each kind of position: (height, width) of 0 and 1."""
    w = p.window
    rows = _inside(p.output.height, w.kernel_height, w.stride_height, w.pad_top,
                   w.dilation_height, p.input.height)  # fmt: skip
    columns = _inside(p.output.width, w.kernel_width, w.stride_width, w.pad_left,
                      w.dilation_width, p.input.width)  # fmt: skip
    return [np.outer(r, c) for r in rows for c in columns]


def _inside(
    outputs: int, kernel: int, stride: int, pad: int, dilation: int, inputs: int
) -> list[NDArray[np.int64]]:
    at = np.arange(outputs)[:, None] * stride - pad + np.arange(kernel) * dilation
    return list(np.unique(((at >= 0) & (at < inputs)).astype(np.int64), axis=0))


def _by_channel(layer: Layer, weights: Weights, channels: int) -> NDArray[np.int64] | None:
    """The weights as (outputs, taps, input channels); None if channels are not the last axis."""
    p = layer.call.parameters
    rows = weights.codes.reshape(len(weights.codes), -1).astype(np.int64)
    if isinstance(p, Conv):
        fits = p.depth == p.input.channels == channels
    else:
        fits = isinstance(p, Dense) and p.rows == 1 and p.inputs % channels == 0
    return rows.reshape(len(rows), -1, channels) if fits else None


def _folds(layer: Layer, source: _Known) -> Flags:
    """Which input channels are constants that the layer's bias can hold."""
    p = layer.call.parameters
    assert isinstance(p, Conv | Dense)
    if isinstance(p, Conv) and _is_padded(p):
        return np.asarray(source.constant & (source.code == p.input_zero), np.bool_)
    return source.constant


def _is_padded(p: Conv) -> bool:
    return any(not seen.all() for seen in _tap_patterns(p))


def _folded(layer: Layer, by_channel: Ints, source: _Known, folds: Flags) -> Ints:
    """What the constant channels add to each sum, their zero point taken off: (outputs,)."""
    p = layer.call.parameters
    assert isinstance(p, Conv | Dense)
    excess = np.where(folds, source.code - p.input_zero, 0)
    return np.asarray((by_channel * excess).sum(axis=(1, 2)), np.int64)


def _codes(layer: Layer, weights: Weights, sums: Ints) -> Ints:
    p = layer.call.parameters
    assert isinstance(p, Conv | Dense)
    return _scaled(weights, sums, p)


def _scaled(weights: Weights, sums: Ints, p: Conv | Dense) -> Ints:
    limits = p.range
    total = (sums + weights.bias + 2**31) % 2**32 - 2**31
    codes = weights.rounding.codes(total) + limits.zero_point
    return codes.clip(limits.least, limits.most)


# --- backwards: which channels anything needs


def _find_needed(network: Network, known: dict[int, _Known]) -> dict[int, Flags]:
    needed = {t: np.zeros(_channels(x), np.bool_) for t, x in network.tensors.items()}
    needed[network.input][:] = needed[network.output][:] = True
    for layer in reversed(network.layers):
        if not needed[layer.output].any():
            needed[layer.output][0] = True  # a tensor has one channel at least
        for operand in layer.reads:
            needed[operand] |= _needs(layer, network.tensors[operand], known, needed)
    return needed


def _needs(
    layer: Layer, operand: Tensor, known: dict[int, _Known], needed: dict[int, Flags]
) -> Flags:
    """Which channels of an operand the layer needs."""
    channels = _channels(operand)
    if layer.weights is not None and layer.call.kernel != "depthwise_conv_2d":
        source = known.get(operand.index) or _nothing_known(operand)
        by_channel = _by_channel(layer, layer.weights, channels)
        if by_channel is not None:
            return by_channel[needed[layer.output]].any(axis=(0, 1)) & ~_folds(layer, source)
    elif _is_channel_wise(layer, channels):
        return needed[layer.output]
    needed[layer.output][:] = True
    return np.ones(channels, np.bool_)


def _is_channel_wise(layer: Layer, channels: int) -> bool:
    """Whether output channel c depends on input channel c alone, by a kernel that can drop it."""
    p = layer.call.parameters
    if isinstance(p, Conv):
        return p.depth == 1 and p.input.channels == channels
    if isinstance(p, MeanAxis):
        return p.outer == 1 and p.inner == channels
    return isinstance(p, Pool)


# --- and a network without the others


def _without(
    layer: Layer, network: Network, known: dict[int, _Known], keep: dict[int, NDArray[np.intp]]
) -> Layer:
    source = network.tensors[layer.reads[0]] if layer.reads else None
    kept_in = keep.get(source.index) if source is not None else None
    kept_out = keep.get(layer.output)
    if source is None or (kept_in is None and kept_out is None):
        return layer
    p, weights = layer.call.parameters, layer.weights
    if weights is not None:
        weights = _thin(layer, weights, source, known, kept_in, kept_out)
    inputs = _channels(source) if kept_in is None else len(kept_in)
    target = network.tensors[layer.output]
    outputs = _channels(target) if kept_out is None else len(kept_out)
    if isinstance(p, Conv):
        depth = 1 if layer.call.kernel == "depthwise_conv_2d" else inputs
        p = replace(p, input=_with(p.input, inputs), output=_with(p.output, outputs), depth=depth)
    elif isinstance(p, Pool):
        p = replace(p, input=_with(p.input, inputs), output=_with(p.output, outputs))
    elif isinstance(p, MeanAxis):
        p = replace(p, inner=inputs)
    elif isinstance(p, Dense):
        p = replace(p, inputs=p.inputs // _channels(source) * inputs, outputs=outputs)
    return replace(layer, call=replace(layer.call, parameters=p), weights=weights)


def _thin(
    layer: Layer,
    weights: Weights,
    source: Tensor,
    known: dict[int, _Known],
    kept_in: NDArray[np.intp] | None,
    kept_out: NDArray[np.intp] | None,
) -> Weights:
    """The weights of the channels that stay; what the others add is in the bias."""
    codes, bias = weights.codes, weights.bias
    if kept_in is not None and layer.call.kernel != "depthwise_conv_2d":
        facts = known.get(source.index) or _nothing_known(source)
        by_channel = _by_channel(layer, weights, _channels(source))
        assert by_channel is not None
        gone = np.ones(_channels(source), np.bool_)
        gone[kept_in] = False
        folds = gone & _folds(layer, facts)
        bias = bias + _folded(layer, by_channel, facts, folds)
        codes = by_channel[:, :, kept_in].astype(np.int8)
        codes = codes.reshape(*weights.codes.shape[:-1], -1)
    rows = slice(None) if kept_out is None else kept_out
    return Weights(codes[rows], bias[rows], weights.rounding.of(rows))


def _with(shape: Shape, channels: int) -> Shape:
    return replace(shape, channels=channels)


def _narrowed(tensor: Tensor, kept: NDArray[np.intp] | None) -> Tensor:
    if kept is None:
        return tensor
    shape = (*tensor.shape[:-1], len(kept))
    return replace(tensor, shape=shape, bytes=tensor.bytes // tensor.shape[-1] * len(kept))
