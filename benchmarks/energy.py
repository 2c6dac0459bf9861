"""Instructions of training and inference, for docs/boards.md; and a plan beside its run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bars import Bar, Outcome, Row, measure_chosen
from benchmarks.command import microfed
from cli.config import load
from cli.measure import measure
from cli.output import Output
from device_sim.work import FLOAT, INT8, estimated
from firmware.qemu import NoToolError
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of
from tflite_models.scope import bits_of

ROOT = Path(__file__).parents[1]
MODELS = ("digits", "har", "fashion", "speech")
BOUND = 0.1
PLANNED = ("bytes_up", "bytes_down")


def run(only: Sequence[str], out: Output) -> Outcome:
    """Take the measurements named, or both."""
    return measure_chosen({"instructions": instructions, "plan": planned}, only, out)


def instructions(out: Output) -> Outcome:
    """The released models with the recipes of their examples, on a Cortex-M4F in QEMU."""
    rows: list[Row] = []
    for name in MODELS:
        file = (ROOT / "tflite_models" / name / "model.tflite").read_bytes()
        federated = load(ROOT / "examples" / f"{name}.toml").federated
        graph = read_graph(file)
        layout = layout_of(graph)
        fit = estimated(graph, layout, bits_of(layout, federated.train))
        found = measure(federated, file)
        if found is None:
            raise NoToolError("arm-none-eabi-gcc or qemu-system-arm is not installed")
        rows.append(
            {
                "model": name,
                "macs": round(fit.inference / INT8),
                "training": round(found.training),
                "per_mac": round(FLOAT * found.training / fit.training, 1),
                "losses": round(found.evaluation),
                "losses_per_mac": round(FLOAT * found.evaluation / fit.evaluation, 1),
                "inference": round(found.inference),
                "inference_per_mac": round(INT8 * found.inference / fit.inference, 1),
            }
        )
        out.line(str(rows[-1]))
    return Outcome(rows)


def planned(out: Output) -> Outcome:
    """The example of digits: what was planned, and what the run then counted."""
    common = [str(ROOT / "examples/digits.toml"), "--set", "fleet.transport=memory"]
    common += ["--model", str(ROOT / "tflite_models/digits/model.tflite")]
    plan = microfed("plan", *common, "--interval", "0")
    with tempfile.TemporaryDirectory() as folder:
        ran = microfed("run", *common, "--out", f"{folder}/run")
    pairs = {name: (plan[name], ran[name]) for name in PLANNED}
    pairs["joules"] = plan["joules"], ran["joules"]["total"]
    bars = []
    for name, (before, after) in pairs.items():
        off = before / after - 1
        value = f"{before:,.0f} planned, {after:,.0f} counted ({off:+.1%})"
        claim = f"{name} of examples/digits.toml, before and after"
        bars.append(Bar(f"plan.{name}", claim, value, f"within {BOUND:.0%}", abs(off) <= BOUND))
        out.line(value)
    return Outcome([], bars)
