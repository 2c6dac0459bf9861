"""From an experiment to what `device_sim.plan` wants to know, by rehearsing its rounds."""

from __future__ import annotations

import tempfile
from pathlib import Path

from aggregator.base import runs_of
from aggregator.course import recipe_of
from aggregator.records import read_versions
from aggregator.selection import cohort_size
from aggregator.versions import RECENT
from cli.alone import teach_alone
from cli.config import Experiment
from cli.folder import held, prepare
from cli.output import Output
from cli.shares import Shares
from device_sim.plan import Rollout, differences, update_size
from tflite_models.boards import board_named
from tflite_models.graph import read_graph
from tflite_models.parameters import Layout, Weights, layout_of
from tflite_models.scope import bits_of, scope_of
from wire.base import pack_base
from wire.difference import Codes, Frame, encode_difference

CALM = {"transport": "memory", "clock": "host", "rate": 0.0, "loss": 0.0, "dropout": 0.0, "qemu": 0}


class _Silent(Output):
    """Who rehearses tells nobody."""

    def line(self, text: str = "") -> None:
        """Say nothing."""


def rollout_of(
    experiment: Experiment, shares: Shares, model: Path, rehearse: int | None = None
) -> Rollout:
    """What an experiment does, as one device sees it; a usual one, where they differ.

    rehearse: the first so many rounds; None: all.
    """
    file = model.read_bytes()
    layout = layout_of(read_graph(file))
    federated, fleet = experiment.federated, experiment.fleet
    bits = bits_of(layout, federated.train)
    devices = len(shares.devices)
    cohort = cohort_size(federated.cohort, devices)
    taken = max(1, round(federated.rounds * cohort / devices))
    apart = max(1, round(devices / cohort))  # rounds between two that a device takes part in
    rounds = federated.rounds if rehearse is None else min(rehearse, federated.rounds)
    sizes = rehearsed(experiment, shares, model, layout, apart, rounds)
    to_come = differences(sizes, federated.decay, federated.rounds)
    return Rollout(
        board=board_named(fleet.board),
        gateway="" if fleet.transport == "mqtt" else shares.devices[0],
        recipe=recipe_of(federated, 0, bits),
        codec=experiment.wire.codec,
        budget=experiment.wire.budget_bytes,
        block=experiment.wire.block,
        rounds=federated.rounds,
        taken=taken,
        devices=devices,
        cohort=cohort,
        samples=round(sum(map(len, shares.split.clients)) / devices),
        deadline=round(federated.deadline),
        base=len(pack_base(file, runs_of(file))),
        catch_up=to_come[0] if apart > 1 else 0,
        differences=to_come[::apart][: taken - 1],
        update=update_size(
            experiment.wire.codec, scope_of(layout, bits).bounds, experiment.wire.budget_bytes
        ),
    )


def rehearsed(
    experiment: Experiment, shares: Shares, model: Path, layout: Layout, apart: int, rounds: int
) -> list[int]:
    """Sizes of the differences between versions so far apart, of the first `rounds`."""
    federated = experiment.federated
    short = federated.model_copy(update={"rounds": rounds, "evaluate_every": max(1, rounds)})
    calm = experiment.fleet.model_copy(update={**CALM, "battery": 1.0})
    rehearsal = experiment.model_copy(update={"federated": short, "fleet": calm})
    with tempfile.TemporaryDirectory(prefix="microfed-rehearsal-") as folder:
        run = Path(folder)
        with held(run):
            prepare(run, rehearsal, model)
            teach_alone(rehearsal, shares, run, _Silent(as_json=True))
            versions = read_versions(run)
    pairs = [(one, one + apart) for one in versions if one + apart in versions]
    if apart > RECENT or not pairs:  # then a device begins again at the base file
        pairs = [(0, max(versions))]
    frame = Frame(layout.mask, layout.channels)
    return [
        len(encode_difference(_codes(versions[a]), _codes(versions[b]), frame)) for a, b in pairs
    ]


def _codes(weights: Weights) -> Codes:
    return Codes(weights.codes, weights.scales)
