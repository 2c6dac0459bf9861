"""What each layer adds to the C files: its constants, its parameters, the call of its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import Conv, Dense, Svdf
from firmware.compiler.network import Constant, Layer, Network
from firmware.compiler.pack import DENSE_PAIRS, Layout, pairs, sparse
from firmware.compiler.plan import Plan
from firmware.compiler.prepare import Prepared, PreparedSum
from firmware.compiler.rounding import Once, Twice
from firmware.compiler.text import by, struct, value

PARAMETERS = {  # what each kernel takes: a struct of the core
    "conv_2d": "mf_int8_conv",
    "depthwise_conv_2d": "mf_int8_conv",
    "fully_connected": "mf_int8_dense",
    "average_pool_2d": "mf_int8_pool",
    "max_pool_2d": "mf_int8_pool",
    "mean": "mf_int8_mean_axis",
    "add": "mf_int8_sum",
    "mul": "mf_int8_product",
    "copy": "mf_int8_move",
    "fill": "mf_int8_filling",
    "softmax": "mf_int8_softmax_rows",
    "lookup": "mf_int8_count",
    "requantize": "mf_int8_rescale",
    "quantize": "mf_int8_real",
    "dequantize": "mf_int8_real",
}
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}


@dataclass(frozen=True)
class Array:
    """A constant in weights.c; with `pairs` the DSP extension has a layout of its own."""

    name: str
    member: str  # of the layer's struct
    values: NDArray[Any]
    comment: str = ""
    pairs: NDArray[np.int32] | None = None

    def of(self, layout: Layout) -> NDArray[Any]:
        """The values in one layout."""
        return self.values if layout == "rows" or self.pairs is None else self.pairs


@dataclass(frozen=True, eq=False)
class Piece:
    """What one layer adds to the files."""

    parameters: str  # the definition of its constant struct
    call: str
    arrays: tuple[Array, ...]


class Pieces:
    """The layers of one network as C."""

    def __init__(
        self,
        name: str,
        network: Network,
        prepared: dict[str, Prepared | PreparedSum | None],
        plan: Plan,
        layout: Layout | None = None,
    ) -> None:
        """layout: the only one that is written; None: the compiler's macros choose."""
        self._name = name
        self._layout_only = layout
        self._network = network
        self._prepared = prepared
        self._plan = plan
        self._paddings: dict[tuple[int, int], Array] = {}
        self._pieces = [self._piece(layer) for layer in network.layers]

    def _piece(self, layer: Layer) -> Piece:
        prepared = self._prepared[layer.name]
        if isinstance(prepared, PreparedSum):
            return self._sum(layer, prepared)
        if prepared is not None:
            return self._fast(layer, prepared)
        if isinstance(layer.call.parameters, Svdf):
            return self._svdf(layer)
        arrays: list[Array] = []
        operands, once = [f"&{layer.name}"], ""
        if layer.weights is not None:
            arrays += self._filter(layer)
            operands.append(f"&{layer.name}_filter")
        for i, operand in enumerate(layer.inputs):
            if isinstance(operand, Constant):
                arrays.append(self._array(layer, f"operand_{i}", operand.values))
        inputs = [
            self._at(x) if isinstance(x, int) else self._symbol(f"{layer.name}_operand_{i}")
            for i, x in enumerate(layer.inputs)
        ]
        if layer.call.kernel == "lookup":
            inputs.reverse()  # the table comes first
        kind = PARAMETERS[layer.call.kernel]
        text = f"static const {kind} {layer.name} = {value(layer.call.parameters)};\n"
        if layer.weights is not None:
            once = "_once" if isinstance(layer.weights.rounding, Once) else ""
            members = {a.member: a.name for a in arrays}
            text += f"static const mf_int8{once}_filter {layer.name}_filter = {struct(members)};\n"
        listed = ", ".join([*operands, *inputs, self._at(layer.output)])
        call = f"mf_int8_{layer.call.kernel}{once}({listed});"
        return Piece(text, call, tuple(arrays))

    def _sum(self, layer: Layer, prepared: PreparedSum) -> Piece:
        name, s = layer.name, prepared.sum
        members = {"count": str(prepared.count), "multiplier": value(s.multiplier)}
        members |= {"bias": value(s.bias), "least": str(s.least), "most": str(s.most)}
        operands = [f"&{name}", *map(self._at, layer.reads), self._at(layer.output)]
        text = f"static const mf_sum_layer {name} = {struct(members)};\n"
        return Piece(text, f"mf_layer_sum({', '.join(operands)});", ())

    def _svdf(self, layer: Layer) -> Piece:
        name = layer.name
        constants = [x.values for x in layer.inputs if isinstance(x, Constant)]
        members = ("weights", "time_weights", "bias")
        arrays = [self._array(layer, *each) for each in zip(members, constants, strict=True)]
        text = f"static const mf_int8_svdf_layer {name} = {value(layer.call.parameters)};\n"
        filled = struct({a.member: a.name for a in arrays})
        text += f"static const mf_int8_svdf_filter {name}_filter = {filled};\n"
        operands = [f"&{name}", f"&{name}_filter", self._at(layer.reads[0])]
        operands += [f"{name}_state", self._at(layer.output)]
        return Piece(text, f"mf_int8_svdf({', '.join(operands)});", tuple(arrays))

    def _filter(self, layer: Layer) -> list[Array]:
        w = layer.weights
        assert w is not None
        codes = w.codes
        if layer.call.kernel == "depthwise_conv_2d":
            codes = np.moveaxis(codes, 0, -1)
        arrays = [
            self._array(layer, "weights", codes, by(codes.shape)),
            self._array(layer, "bias", w.bias.astype(np.int32)),
        ]
        if isinstance(w.rounding, Once):
            return [*arrays, self._array(layer, "scales", w.rounding.scales)]
        per_channel = getattr(layer.call.parameters, "per_channel")  # noqa: B009 - Conv or Dense
        scales = w.rounding.of(slice(None) if per_channel else slice(1))
        return [
            *arrays,
            self._array(layer, "multipliers", scales.multipliers.astype(np.int32)),
            self._array(layer, "shifts", scales.shifts.astype(np.int8)),
        ]

    def _fast(self, layer: Layer, prepared: Prepared) -> Piece:
        p, name = layer.call.parameters, layer.name
        assert isinstance(p, Conv | Dense)
        weights = self._packed(layer, prepared)
        arrays = [weights, *self._scaling_arrays(layer, prepared)]
        members: dict[str, str] = {}
        operands = [f"&{name}", self._at(layer.reads[0]), self._at(layer.output)]
        if isinstance(p, Conv):
            members |= {"input": value(p.input), "output": value(p.output)}
            members["window"] = value(p.window, 4)
            if prepared.kind == "depthwise":
                members["input_zero"] = str(p.input_zero)
            else:
                members["padding"] = self._padding(p)
            operands.append(self._scratch(name))
        else:
            members |= {"inputs": str(p.inputs), "outputs": str(p.outputs)}
        members["weights"] = weights.name
        members["scaling"] = self._scaling(layer, prepared)
        text = f"static const mf_{prepared.kind}_layer {name} = {struct(members)};\n"
        kernel = f"mf_layer_{'sparse_' if prepared.sparse else ''}{prepared.kind}"
        return Piece(text, f"{kernel}({', '.join(operands)});", tuple(arrays))

    def _packed(self, layer: Layer, prepared: Prepared) -> Array:
        assert layer.weights is not None
        codes = layer.weights.codes
        rows = codes.reshape(len(codes), -1)
        packed = None
        if prepared.sparse:
            comment = f"{by(codes.shape)}, {np.count_nonzero(codes)} of them not zero"
            return self._array(layer, "weights", sparse(rows), comment)
        if prepared.kind == "conv":
            packed = pairs(rows, by_words=codes.shape[-1] % 4 == 0)
        elif prepared.kind == "dense":
            packed = pairs(rows, by_words=True, beside=DENSE_PAIRS)
        return self._array(layer, "weights", rows, by(codes.shape), packed)

    def _scaling_arrays(self, layer: Layer, prepared: Prepared) -> list[Array]:
        w, line = layer.weights, prepared.line
        assert w is not None
        if line is None:
            assert isinstance(w.rounding, Twice)
            return [
                self._array(layer, "bias", prepared.bias.astype(np.int32)),
                self._array(layer, "multiplier", w.rounding.multipliers.astype(np.int32)),
                self._array(layer, "shift", w.rounding.shifts.astype(np.int8)),
            ]
        arrays = [
            self._array(layer, "bias", line.bias.astype(np.int32)),
            self._array(layer, "multiplier", line.multiplier.astype(np.int32)),
        ]
        if line.kink is not None:
            arrays.append(self._array(layer, "kink", line.kink.astype(np.int32)))
        return arrays

    def _scaling(self, layer: Layer, prepared: Prepared) -> str:
        limits = layer.call.parameters.range  # type: ignore[union-attr] # Conv or Dense
        members = [f".{a.member} = {a.name}"
                   for a in self._scaling_arrays(layer, prepared)]  # fmt: skip
        members += [f".zero_point = {limits.zero_point}"]
        members += [f".least = {limits.least}", f".most = {limits.most}"]
        return "{" + ",\n                ".join(members) + "}"

    def _padding(self, p: Conv) -> str:
        w = p.window
        below = (p.output.height - 1) * w.stride_height + (w.kernel_height - 1) * w.dilation_height
        right = (p.output.width - 1) * w.stride_width + (w.kernel_width - 1) * w.dilation_width
        inside = below - w.pad_top < p.input.height and right - w.pad_left < p.input.width
        if inside and not w.pad_top and not w.pad_left:
            return "NULL"
        size = w.kernel_width * p.input.channels
        name = self._symbol(f"padding_{p.input_zero - -128}")
        key = (p.input_zero, 0)
        known = self._paddings.get(key)
        if known is None or known.values.size < size:
            self._paddings[key] = Array(
                name,
                "padding",
                np.full(size, p.input_zero, np.int8),
                f"the zero point {p.input_zero}",
            )
        return name

    def _array(
        self,
        layer: Layer,
        member: str,
        values: NDArray[Any],
        comment: str = "",
        pairs: NDArray[np.int32] | None = None,
    ) -> Array:
        return Array(self._symbol(f"{layer.name}_{member}"), member, values, comment, pairs)

    def _symbol(self, name: str) -> str:
        """A constant's name to the linker: two models may be in one program."""
        return f"{self._name}_{name}"

    # --- places

    def _at(self, tensor: int) -> str:
        """A tensor as a kernel takes it: bytes that are not float are int8 to all of them."""
        kind = self._network.tensors[tensor].dtype
        return self._cast(tensor, "float32" if kind == "float32" else "int8")

    def _cast(self, tensor: int, kind: str) -> str:
        place = f"arena.bytes + {self._plan.offsets[tensor]}"
        return place if kind == "int8" else f"({C_TYPES[kind]} *)(void *)({place})"

    def _scratch(self, layer: str) -> str:
        return f"arena.bytes + {self._plan.offsets[layer]}"
