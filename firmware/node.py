"""A base file as the C tables of a federated node: firmware/node/include/microfed/model.h."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.train import ALIGN, Model, Plan, Recipe
from firmware.compiler.text import array
from firmware.node_inference import inference_text
from tflite_models.graph import read_graph
from tflite_models.parameters import Layout, Slot, layout_of, weights_of

HEAD = 8  # bytes of a body before its scales: MF_BODY_SCALES
PAGE = 64  # MF_FLASH_PAGE
FLOAT = 4
SHARE, LEAST = 32, 32  # of an update's budget: firmware/node/src/update.c
MOST_SAID = 6  # MF_MOST_SAID
HEAD_OF_MEMORY = 4 + MOST_SAID * 88  # mf_memory_head
INFLATE = 5504  # mf_inflate, and rounding


@dataclass(frozen=True)
class NodeModel:
    """What a node is compiled with: its C text, and the numbers that its memory follows from."""

    text: str  # model.c, which defines `const mf_node_model model`
    inference: str  # infer.c, which defines node_infer
    body_bytes: int  # of one version of the model, in flash
    parameters: int
    scales: int
    bounds: tuple[int, ...]  # of an update

    @property
    def unmasked(self) -> int:
        """Parameters that an update speaks of."""
        return self.bounds[-1]


def node_model(file: bytes, trainable: Model, trains: bytes) -> NodeModel:
    """The tables of an int8 .tflite.

    trainable: the same file as the core trains it; trains: a byte for each of its steps,
    1 its weights, 2 its bias, 3 both.  Raises ModelError.
    """
    graph = read_graph(file)
    layout, weights = layout_of(graph), weights_of(graph, layout_of(graph))
    where, body_bytes = _places(layout)
    body = bytearray(body_bytes)
    body[HEAD : HEAD + 4 * layout.scales] = weights.scales.astype("<f4").tobytes()
    for slot, at in zip(layout.slots, where, strict=True):
        codes = weights.codes[slot.start : slot.stop]
        data = codes.astype("<i4" if slot.kind == "bias" else "<i1").tobytes()
        body[at : at + len(data)] = data
    counted = np.concatenate(([0], np.cumsum(layout.mask)))
    bounds = (0, *(int(counted[slot.stop]) for slot in layout.slots))
    rows = [_tensor(slot, at) for slot, at in zip(layout.slots, where, strict=True)]
    words = np.frombuffer(bytes(body) + bytes(-len(body) % 4), "<i4")
    text = (
        "/* Made by microfed from a .tflite: what a node of its fleet is compiled with. */\n"
        '#include <math.h>\n\n#include "microfed/model.h"\n\n'
        f"static const mf_parameters tensors[] = {{\n{''.join(rows)}}};\n\n"
        f"static {array('bounds', np.array(bounds, np.int32))}\n"
        f"static {array('base', words, comment='a body: version 0')}\n"
        f"{_training(trainable, trains)}\nconst mf_node_model model = {{\n"
        f"    .digest = {_row(sha256(file).digest())},\n"
        "    .tensors = tensors,\n    .bounds = bounds,\n"
        f"    .tensor_count = {len(layout.slots)},\n    .scale_count = {layout.scales},\n"
        f"    .body_size = {body_bytes},\n    .base = (const uint8_t *)base,\n"
        "    .train = &training,\n    .trains = trains,\n};\n"
    )
    tensors = {slot.tensor: at for slot, at in zip(layout.slots, where, strict=True)}
    inference = inference_text(graph, layout, tensors)
    return NodeModel(text, inference, body_bytes, layout.size, layout.scales, bounds)


def _places(layout: Layout) -> tuple[list[int], int]:
    """Where each slot's codes begin in a body, and where the body ends."""
    places = [0] * len(layout.slots)
    at = HEAD + 4 * layout.scales
    for kind, size in (("bias", 4), ("weight", 1)):
        for i, slot in enumerate(layout.slots):
            if slot.kind == kind:
                places[i], at = at, at + size * (slot.stop - slot.start)
    return places, at


def _tensor(slot: Slot, at: int) -> str:
    inner = prod(slot.shape[slot.axis + 1 :])
    scale = slot.input_scale if slot.kind == "bias" else 0.0
    numbers = (slot.stop - slot.start, slot.scale_start, slot.scale_stop - slot.scale_start, inner)
    return f"    {{{', '.join(map(str, numbers))}, {_real(scale)}, {at}}},\n"


def _training(model: Model, trains: bytes) -> str:
    """The core's model of the file, as text."""
    struct = model.struct
    tensors = "".join(
        f"    {{{{{t.shape.height}, {t.shape.width}, {t.shape.channels}}}, "
        f"{_real(t.low)}, {_real(t.high)}, {_real(t.step)}}},\n"
        for t in model.tensors
    )
    steps = "".join(
        f"    {{{s.kind}, {_row(s.inputs)}, {s.output}, {s.weight}, {s.bias}, "
        f"{_row(getattr(s.window, name) for name, _ in s.window._fields_)}, {_row(s.place)}}},\n"
        for s in model.steps
    )
    return (
        f"static const mf_train_tensor activations[] = {{\n{tensors}}};\n\n"
        f"static const mf_train_step steps[] = {{\n{steps}}};\n\n"
        "static const mf_train_model training = {\n    activations,\n    steps,\n"
        f"    {struct.tensor_count},\n    {struct.step_count},\n    {struct.parameter_count},\n"
        f"    {struct.input},\n    {struct.output},\n    {struct.loss},\n}};\n\n"
        f"static const uint8_t trains[] = {_row(trains)};\n"
    )


def _row(numbers: Any) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def _real(x: float) -> str:
    """A float32 as C99 writes it, to the bit."""
    if x in (inf, -inf):
        return "INFINITY" if x > 0 else "-INFINITY"
    return f"{float(np.float32(x)).hex()}f"


@dataclass(frozen=True)
class NodeSizes:
    """The memory of one node, bytes."""

    block: int  # the largest block that it takes
    update: int  # the longest update that it keeps
    work: int  # training, or applying a difference
    model_area: int  # of flash: each of two versions
    memory_area: int  # of flash: each of two memories

    @property
    def text(self) -> str:
        """The C file that defines that memory, and what made.h promises beside the model."""
        areas = (self.model_area, self.memory_area, 2 * PAGE)
        each = ", ".join(f"{size}, {size}" for size in areas)
        return (
            "/* Made by microfed: the memory of a node. */\n"
            '#include "microfed/made.h"\n\n'
            f"static uint8_t sending[MF_NODE_SENDING({self.block})];\n"
            f"static uint8_t receiving[MF_NODE_RECEIVING({self.block})];\n"
            f"static uint8_t work[{self.work}] __attribute__((aligned(MF_ALIGN)));\n\n"
            f"const uint32_t node_areas[MF_AREAS] = {{{each}}};\n\n"
            "mf_node_settings node_settings = {\n    .model = &model,\n"
            f"    .block = {self.block},\n    .update_most = {self.update},\n"
            "    .sending = sending,\n    .receiving = receiving,\n"
            "    .sending_size = (int32_t)sizeof sending,\n"
            "    .receiving_size = (int32_t)sizeof receiving,\n"
            "    .work = work,\n    .work_size = sizeof work,\n};\n"
        )


def node_sizes(
    tables: NodeModel,
    plan: Plan,
    recipe: Recipe,
    samples: int,
    *,
    block: int = 1024,
    budget: int = 0,
) -> NodeSizes:
    """What a node needs that trains by a plan and a recipe on so many samples.

    budget: of Task.budget; 0: the codec's own choice.
    """
    values = FLOAT * tables.parameters
    vectors = 2 if recipe.proximal else 1
    own = _lines(plan.own_bytes) + vectors * _lines(values) + _lines(tables.parameters)
    training = own + max(plan.memory(recipe, samples), values)
    largest = tables.unmasked + 5 * tables.scales + 64
    pulling = _lines(largest + largest // 8) + FLOAT * (tables.unmasked + tables.scales) + INFLATE
    update = max(budget or max(LEAST, -(-tables.unmasked // SHARE)), 4)
    memory = HEAD_OF_MEMORY + 2 * tables.unmasked + MOST_SAID * update
    return NodeSizes(
        block,
        update,
        _lines(max(training, pulling)),
        _area(tables.body_bytes),
        _area(memory),
    )


def samples_file(x: NDArray[np.float32], y: NDArray[Any]) -> bytes:
    """Samples (n, ...) and their classes (n,) as a node reads them."""
    head = np.array([len(y)], "<i4").tobytes() + np.asarray(y).astype("<i4").tobytes()
    return head + np.ascontiguousarray(x, "<f4").tobytes()


def _lines(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _area(record: int) -> int:
    """Flash for a record: its pages and the one before it."""
    return (record // PAGE + 2) * PAGE
