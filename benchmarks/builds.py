"""Bar 2.3: what pruning and int8 cost in accuracy and save in bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.bars import Bar, Outcome, Row
from benchmarks.command import microfed
from cli.output import Output

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = ("digits", "har", "speech")
ALLOWED = {0.5: 0.005, 0.8: 0.015}  # sparsity → accuracy that may be lost
LARGE = 20_000  # parameters from which the size bar holds
SMALLER = 8


def measure(out: Output) -> Outcome:
    """Build each example on all of its training data, at both sparsities."""
    rows = [_build(name, sparsity, out) for name in NAMES for sparsity in ALLOWED]
    kept = all(row["lost"] <= ALLOWED[row["asked"]] + 1e-9 for row in rows)
    sparse = all(row["sparsity"] >= row["asked"] for row in rows)
    large = [row for row in rows if row["asked"] == max(ALLOWED) and row["parameters"] >= LARGE]
    small = all(row["smaller"] >= SMALLER for row in large)
    losses = ", ".join(f"{r['data']}@{r['asked']:.0%} {100 * r['lost']:+.2f}" for r in rows)
    ratios = ", ".join(f"{r['data']} 1/{r['smaller']:.1f}" for r in large) or "none is large"
    return Outcome(
        rows,
        [
            Bar(
                "2.3",
                "points lost from float to int8; gzip against float32's",
                f"{losses}; {ratios}",
                "≤ 0.5 at 50 %, ≤ 1.5 at 80 %; ≤ 1/8",
                kept and sparse and small and bool(large),
            )
        ],
    )


def _build(name: str, sparsity: float, out: Output) -> Row:
    with tempfile.TemporaryDirectory(prefix="microfed-bench-") as folder:
        said = microfed(
            "build",
            str(EXAMPLES / f"{name}.toml"),
            "--out",
            folder,
            *("--set", f"prune.sparsity={sparsity}"),
            *("--set", "data.partition=iid"),
            *("--set", "data.factory=1.0"),
            *("--set", "model.central=false"),
            *("--set", "quantize.compare=false"),
        )
        model = microfed("inspect", said["model"])
    row: Row = {
        "data": name,
        "asked": sparsity,
        "parameters": model["parameters"],
        "float": said["accuracy_float"],
        "int8": said["accuracy_int8"],
        "lost": said["accuracy_float"] - said["accuracy_int8"],
        "sparsity": said["sparsity"],
        "bytes": said["bytes_tflite"],
        "gzip": said["bytes_gzip"],
        "float_gzip": said["bytes_float_gzip"],
        "smaller": round(said["bytes_float_gzip"] / said["bytes_gzip"], 2),
        "seconds": round(said["seconds"], 1),
    }
    out.line(str(row))
    return row
