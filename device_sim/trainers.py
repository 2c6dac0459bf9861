"""Which Trainer a device gets: the compiled core, or the NumPy twin where it is missing."""

from __future__ import annotations

import logging
from functools import cache

from core.library import NoCoreError, library
from device_sim.native import Native
from device_sim.trainer import Trainer
from tflite_models.graph import Graph
from tflite_models.parameters import Layout

LOG = logging.getLogger(__name__)


def fastest_trainer(graph: Graph, layout: Layout) -> Trainer:
    """A trainer for one graph.  Raises UnsupportedModel where it cannot be trained."""
    if _core_is_there():
        return Native(graph, layout)
    from device_sim.twin import Twin  # noqa: PLC0415 - only where there is no core

    return Twin(graph, layout)


@cache
def _core_is_there() -> bool:
    """Whether the core can be loaded; says once what it costs if not."""
    try:
        library()
    except NoCoreError as error:
        LOG.warning("devices train in NumPy, several times slower: %s", error)
        return False
    return True
