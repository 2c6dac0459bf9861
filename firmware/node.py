"""A base file as the C tables of a federated node: firmware/node/include/microfed/model.h."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.stored import StoredPlan, codes_of, mask_words
from core.train import Kind, Loss, Model, Recipe, Step
from firmware.compiler.text import array
from firmware.compiler.training import network_c, real
from firmware.node_inference import inference_text
from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.parameters import Layout, Slot, Weights, layout_of, weights_of

HEAD = 8  # bytes of a body before its scales: MF_BODY_SCALES
PAGE = 64  # MF_FLASH_PAGE
SHARE, LEAST = 32, 32  # of an update's budget: firmware/node/src/update.c
MOST_SAID = 6  # MF_MOST_SAID
HEAD_OF_MEMORY = 44 + MOST_SAID * 120  # mf_memory_head
INFLATE = 5504  # mf_inflate, and rounding


@dataclass(frozen=True)
class NodeModel:
    """What a node is compiled with: its C text, and the numbers that its memory follows from."""

    text: str  # model.c, which defines `const mf_node_model model`
    inference: str  # infer.c, which defines node_infer
    body_bytes: int  # of one version of the model, in flash
    mask_bytes: int
    scales: int
    bounds: tuple[int, ...]  # of an update
    plan: StoredPlan
    trainable: Model

    @property
    def weight_bytes(self) -> int:
        """Bytes of the image that are weights, scales, and which are pruned."""
        return self.body_bytes + self.mask_bytes

    @property
    def unmasked(self) -> int:
        """Parameters that an update speaks of."""
        return self.bounds[-1]


def node_model(file: bytes, trainable: Model, trains: bytes) -> NodeModel:
    """The tables of an int8 .tflite.

    trainable: the same file as the core trains it; trains: the most that a task may ask for, a
    byte for each of its steps, 1 its weights, 2 its bias, 3 both.  Raises ModelError.
    """
    graph = read_graph(file)
    layout = layout_of(graph)
    weights = weights_of(graph, layout)
    _check_order(layout, trainable)
    trainable = _without_idle(trainable)
    places, body = _body(layout, weights)
    counted = np.concatenate(([0], np.cumsum(layout.mask)))
    bounds = (0, *(int(counted[slot.stop]) for slot in layout.slots))
    masks, rows, mask_bytes = [], [], 0
    for slot in layout.slots:
        unpruned = layout.mask[slot.start : slot.stop]
        name = "NULL"
        if not unpruned.all():
            name = f"mask_{slot.tensor}"
            masks.append("static " + array(name, mask_words(unpruned)))
            mask_bytes += mask_words(unpruned).nbytes
        rows.append(_tensor(slot, places[slot.tensor], name))
    words = np.frombuffer(body + bytes(-len(body) % 4), "<i4")
    plan = StoredPlan(trainable, trains, codes_of(trainable, layout, weights))
    at, floats = plan.places
    text = (
        "/* Made by microfed from a .tflite: what a node of its fleet is compiled with. */\n"
        '#include <math.h>\n\n#include "microfed/model.h"\n\n'
        f"{''.join(masks)}static const mf_parameters parameters[] = {{\n{''.join(rows)}}};\n"
        f"static {array('bounds', np.array(bounds, np.int32))}"
        f"static {array('base', words, comment='a body: version 0')}\n"
        f"{network_c('network', trainable)}"
        "\nconst mf_node_model model = {\n"
        f"    .digest = {_row(sha256(file).digest())},\n"
        "    .tensors = parameters,\n    .bounds = bounds,\n"
        f"    .tensor_count = {len(layout.slots)},\n    .scale_count = {layout.scales},\n"
        f"    .body_size = {len(body)},\n    .base = (const uint8_t *)base,\n"
        "    .train = &network,\n};\n\n"
        f"static {array('at', np.array(at, np.int32))}"
        f"static {array('trains', np.frombuffer(trains, np.uint8))}"
        f"const mf_node_places node_places = {{at, trains, {floats}}};\n"
    )
    inference = inference_text(graph, layout, places)
    sizes = (len(body), mask_bytes, layout.scales)
    return NodeModel(text, inference, *sizes, bounds, plan, trainable)


def _check_order(layout: Layout, model: Model) -> None:
    """A node trains tensor after tensor, each in one step.  Raises ModelError."""
    starts = [start for s in model.steps for start in (s.weight, s.bias) if start >= 0]
    if starts != [slot.start for slot in layout.slots]:
        raise ModelError("graph", "layers share parameters, which a node cannot train")


def _without_idle(model: Model) -> Model:
    """The same model without the tensors that no step computes or reads, such as weights."""
    old = model.struct
    ends = (int(old.input), int(old.output))
    used = {
        t
        for s in model.steps
        for t in (*s.inputs[: 2 if s.kind in (Kind.ADD, Kind.MUL) else 1], s.output)
    } | {*ends}
    new = {t: i for i, t in enumerate(sorted(used))}
    steps = []
    for step in model.steps:
        moved = Step.from_buffer_copy(step)
        moved.inputs[:] = [new.get(t, 0) for t in step.inputs]
        moved.output = new[step.output]
        steps.append(moved)
    tensors = [model.tensors[t] for t in new]
    return Model(tensors, steps, old.parameter_count, (new[ends[0]], new[ends[1]]), Loss(old.loss))


def _body(layout: Layout, weights: Weights) -> tuple[dict[int, int], bytes]:
    """Where each parameter tensor's codes begin in a body, and the body of version 0."""
    body = bytearray(bytes(HEAD) + weights.scales.astype("<f4").tobytes())
    places = {}
    for kind, dtype in (("bias", "<i4"), ("weight", "<i1")):
        for slot in layout.slots:
            if slot.kind == kind:
                places[slot.tensor] = len(body)
                body += weights.codes[slot.start : slot.stop].astype(dtype).tobytes()
    return places, bytes(body)


def _tensor(slot: Slot, at: int, mask: str) -> str:
    inner = prod(slot.shape[slot.axis + 1 :])
    scale = slot.input_scale if slot.kind == "bias" else 0.0
    numbers = (slot.stop - slot.start, slot.scale_start, slot.scale_stop - slot.scale_start, inner)
    return f"    {{{', '.join(map(str, numbers))}, {real(scale)}, {at}, {mask}}},\n"


def _row(numbers: Iterable[int]) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


@dataclass(frozen=True)
class NodeSizes:
    """The memory of one node, bytes."""

    block: int  # the largest block that it takes
    update: int  # the longest update that it keeps
    work: str  # C: training, or applying a difference
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
    model: NodeModel, recipe: Recipe, samples: int, *, block: int = 1024, budget: int = 0
) -> NodeSizes:
    """What a node needs that trains by a recipe on so many samples.

    budget: of Task.budget; 0: the codec's own choice.
    """
    update = max(budget or max(LEAST, -(-model.unmasked // SHARE)), 4)
    training = max(model.plan.memory(recipe, samples), update)
    network = model.trainable
    runs = len(model.bounds) - 1
    counts = (len(network.tensors), len(network.steps), runs, model.plan.parameters)
    largest = model.unmasked + 5 * model.scales + 64
    pulling = largest + largest // 8 + 4 * (model.unmasked + model.scales) + INFLATE
    work = f"MF_NODE_WORK({', '.join(map(str, counts))}, {training})"
    memory = HEAD_OF_MEMORY + 2 * model.unmasked + MOST_SAID * update
    return NodeSizes(
        block,
        update,
        f"{work} > {pulling} ? {work} : {pulling}",
        _area(model.body_bytes),
        _area(memory),
    )


def samples_file(x: NDArray[np.float32], y: NDArray[Any]) -> bytes:
    """Samples (n, ...) and their classes (n,) as a node reads them."""
    head = np.array([len(y)], "<i4").tobytes() + np.asarray(y).astype("<i4").tobytes()
    return head + np.ascontiguousarray(x, "<f4").tobytes()


def _area(record: int) -> int:
    """Flash for a record: its pages and the one before it."""
    return (record // PAGE + 2) * PAGE
