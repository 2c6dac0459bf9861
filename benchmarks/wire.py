"""`microfed bench wire`: accuracy against bytes of every codec, and what the codec itself takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks import wire_hostile, wire_plot, wire_sizes, wire_small
from benchmarks.bars import Bar, Outcome, Row, measure_chosen
from benchmarks.plots import save
from benchmarks.wire_rounds import OWN, Contender, Curve, Ground, play
from cli.output import Output
from wire.codec import CODECS

SEEDS = (1, 2, 3)
WINDOW = 5  # evaluations whose mean is an accuracy: one alone is noise
SHORT = 0.005  # of float32's accuracy: the target

PUBLISHED = ("int8", "float16", "topk", "stc", "qsgd", "signsgd", "drive")
# Budgets: the codec's own (128 times fewer bytes than float32), 400 times, and further.
OURS = {
    "digits": (0, 50, 20),
    "har": (0, 111, 44, 22),
    "fashion": (0, 36, 18),
}
# Budgets of peaks with the server's rates: the noisier the mean, the smaller the step.
PEAKS = {
    "digits": (),
    "har": ((44, 1.0),),
    "fashion": ((33, 0.5), (12, 0.3)),
}


@dataclass(frozen=True, eq=False)
class Result:
    """A contender's runs: of every round, over all seeds."""

    contender: Contender
    accuracies: tuple[float, ...]  # each seed's, at the end
    curve: Curve  # accuracy, mean of the seeds
    up: Curve  # bytes of all devices since the run began
    down: Curve
    flashed: Curve  # down, without the base file

    @property
    def accuracy(self) -> float:
        """The mean of the seeds."""
        return float(np.mean(self.accuracies))

    def reaches(self, target: float) -> int | None:
        """The first round at which the mean of the last WINDOW accuracies is there."""
        for end in range(WINDOW, len(self.curve) + 1):
            if self.curve[end - WINDOW : end].mean() >= target:
                return end
        return None


def run(only: Sequence[str], out: Output, data: str = "har") -> Outcome:
    """Measure the bars named in `only`, or all; rounds on one data set."""
    ground = cache(lambda: Ground(data))  # not every bar needs its data set
    parts: dict[str, Callable[[Output], Outcome]] = {
        "4.1 4.2 4.3": lambda out: rounds(ground(), data, out),
        "4.4": lambda _: wire_sizes.size(ground()),
        "4.5": wire_small.measure,
        "4.6": lambda _: wire_sizes.speed(ground()),
        "4.7": lambda _: wire_hostile.measure(ground()),
    }
    return measure_chosen(parts, only, out)


def rounds(ground: Ground, data: str, out: Output) -> Outcome:
    """Bars 4.1 to 4.3, the table, and the plot wire-<data>."""
    count = ground.experiment.federated.rounds
    contenders = [Contender("float32"), Contender("float32", momentum=0.5)]
    contenders += [Contender("microfed", budget) for budget in OURS[data]]
    contenders += [Contender("microfed", OURS[data][-1], momentum=0.5)]
    contenders += [Contender("peaks", budget, rate=rate) for budget, rate in PEAKS[data]]
    contenders += [Contender("float32", rate=rate) for _, rate in PEAKS[data] if rate != 1.0]
    contenders += [Contender(codec) for codec in PUBLISHED]
    results = []
    for contender in contenders:
        results.append(_play(ground, contender, count))
        out.line(f"{contender.label}: {100 * results[-1].accuracy:.2f} %")
    save(wire_plot.draw(data, results), f"wire-{data}")
    return judged(ground, results)


def _play(ground: Ground, contender: Contender, count: int) -> Result:
    runs = [play(ground, contender, count, seed) for seed in SEEDS]
    return Result(
        contender,
        tuple(float(run.accuracy[-WINDOW:].mean()) for run in runs),
        np.mean([run.accuracy for run in runs], axis=0),
        np.cumsum(np.mean([run.up for run in runs], axis=0)),
        np.cumsum(np.mean([run.down for run in runs], axis=0)),
        np.cumsum(np.mean([run.flashed for run in runs], axis=0)),
    )


def judged(ground: Ground, results: Sequence[Result]) -> Outcome:
    """The table, and what it says of the bars; the first result is float32 with FedAvg."""
    plain = results[0]
    target = plain.accuracy - SHORT
    table = [_row(ground, result, plain, target) for result in results]
    ours = [
        (result, row)
        for result, row in zip(results, table, strict=True)
        if result.contender.codec in OWN
    ]
    return Outcome(table, [_no_loss(plain, ours), _to_target(ours, table[0]), _down(ours)])


def _row(ground: Ground, result: Result, plain: Result, target: float) -> Row:
    reached, reference = result.reaches(target), plain.reaches(target)
    row: Row = {
        "codec": result.contender.label,
        "accuracy": round(result.accuracy, 4),
        "spread": round(float(np.std(result.accuracies)), 4),
        "bits_per_parameter": round(32 * result.up[-1] / plain.up[-1], 4),
        "fewer_up": round(plain.up[-1] / result.up[-1], 1),
        "fewer_down": round(plain.up[-1] / result.down[-1], 1),
        "fewer_down_flashed": round(plain.up[-1] / result.flashed[-1], 1),
        "rounds_to_target": reached,
        "ram": 2 * ground.size if CODECS[result.contender.codec].feedback else 0,
    }
    if reached and reference:
        row |= {
            "up_to_target": round(result.up[reached - 1]),
            "down_to_target": round(result.down[reached - 1]),
            "fewer_up_to_target": round(plain.up[reference - 1] / result.up[reached - 1], 1),
        }
    return row


def _no_loss(plain: Result, ours: Sequence[tuple[Result, Row]]) -> Bar:
    """Bar 4.1: of those within 0.3 points, the one with the fewest bytes."""
    level = [row for result, row in ours if result.accuracy >= plain.accuracy - 0.003]
    best = max(level, key=lambda row: row["fewer_up"], default=None)
    value = best and f"{best['codec']}: {best['fewer_up']} ×, {100 * best['accuracy']:.2f} %"
    claim = f"no loss at equal rounds (float32 {100 * plain.accuracy:.2f} %)"
    return Bar("4.1", claim, value, "≥ 128 ×", bool(best and best["fewer_up"] >= 128))


def _to_target(ours: Sequence[tuple[Result, Row]], plain: Row) -> Bar:
    """Bar 4.2: of those that get there in 1.5 times the rounds, the one with the fewest bytes."""
    most = 1.5 * plain["rounds_to_target"]
    there = [row for _, row in ours if (row["rounds_to_target"] or 1e9) <= most]
    best = max(there, key=lambda row: row["fewer_up_to_target"], default=None)
    value = best and (
        f"{best['codec']}: {best['fewer_up_to_target']} ×, round {best['rounds_to_target']}"
        f" after {plain['rounds_to_target']}"
    )
    ok = bool(best and best["fewer_up_to_target"] >= 300)
    return Bar("4.2", "uplink to −0.5 points, ≤ 1.5 × rounds", value, "≥ 300 ×", ok)


def _down(ours: Sequence[tuple[Result, Row]]) -> Bar:
    """Bar 4.3: float32 broadcasts take as many bytes down as float32 updates do up."""
    best = max(row["fewer_down"] for _, row in ours)
    own = next(row for result, row in ours if not result.contender.budget)
    value = (
        f"{own['fewer_down']} × with the codec's own budget, up to {best} ×; "
        f"{own['fewer_down_flashed']} × to devices that were flashed with the base file"
    )
    ok = bool(own["fewer_down"] >= 20)
    return Bar("4.3", "downlink and base files beside float32 broadcasts", value, "≥ 20 ×", ok)
