"""What training and inference of a model execute: both run on a Cortex-M4F in QEMU."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from aggregator.course import recipe_of
from aggregator.settings import FederatedSettings
from core.stored import codes_of
from core.train import Loss
from device_sim.energy import Work
from device_sim.lower import lower, step_bytes
from device_sim.memory import choices
from device_sim.native import core_recipe
from device_sim.twin.program import compile_graph
from firmware.compiler.compile import compile_model
from firmware.qemu import MACHINES, FirmwareError
from firmware.selftest import self_test
from firmware.train_test import Case, train_on_board
from tflite_models.errors import ModelError
from tflite_models.graph import Graph, read_graph
from tflite_models.parameters import layout_of, weights_of
from tflite_models.scope import bits_of

MACHINE = MACHINES["qemu-m4"]
MOST = 32  # samples of a batch: more change no sample's share by much, and take their time
SEED = 1

log = logging.getLogger(__name__)


def measure(settings: FederatedSettings, file: bytes) -> Work | None:
    """Build and run; None, and a line in the log, where that cannot be done here.

    Raises ModelError for a model that cannot be trained.
    """
    with tempfile.TemporaryDirectory(prefix="microfed-measure-") as folder:
        try:
            inference = _inference(file, Path(folder) / "inference")
            training, evaluation = _training(settings, file, Path(folder) / "training")
        except FirmwareError as error:  # no compiler, no QEMU, or no room on its board
            log.info("instructions are estimated: %s", error)
            return None
    return Work(training, evaluation, inference, measured=True)


def _inference(file: bytes, folder: Path) -> float:
    graph = read_graph(file)
    try:
        compiled = compile_model(file, "model")
    except ModelError as error:
        raise FirmwareError(str(error)) from error
    x, y = (np.zeros((1, *_shape(graph, t)), np.int8) for t in (graph.inputs[0], graph.outputs[0]))
    return self_test(MACHINE, compiled, x, y, folder).instructions


def _training(settings: FederatedSettings, file: bytes, folder: Path) -> tuple[float, float]:
    """Instructions for a sample of training once, and of both losses: from one epoch and two."""
    graph = read_graph(file)
    layout = layout_of(graph)
    bits = bits_of(layout, settings.train)
    model = lower(graph, layout, compile_graph(graph, layout), Loss.CROSS_ENTROPY)
    codes = codes_of(model, layout, weights_of(graph, layout))
    told = replace(recipe_of(settings, 0, bits), batch=min(settings.batch, MOST))
    found = {choice.name: choice for choice in choices(graph, layout, core_recipe(told))}
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((told.batch, int(np.prod(_shape(graph, graph.inputs[0])))), np.float32)
    y = rng.integers(0, _shape(graph, graph.outputs[0])[-1], told.batch).astype(np.int32)

    def executed(epochs: int) -> int:
        recipe = core_recipe(replace(told, epochs=epochs))
        tile = found[settings.train].tile
        case = Case(model, step_bytes(model, layout, bits), codes, recipe, x, y, SEED, tile)
        return train_on_board(MACHINE, case, folder).instructions

    one, two = executed(1), executed(2)
    return (two - one) / told.batch, (2 * one - two) / told.batch


def _shape(graph: Graph, tensor: int) -> tuple[int, ...]:
    return graph.tensors[tensor].shape[1:]
