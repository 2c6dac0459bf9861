"""The end of a run: its report, its table, and what --json says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.output import Output, percent, size


def conclude(run: Path, seconds: float, out: Output) -> dict[str, Any]:
    """Write the report, show the table, and return what --json says of the run."""
    from cli.record import record_of
    from report.render import write

    record = record_of(run)
    write(record, run / "report.html")
    totals = record.totals
    out.table(
        (record.name, "start", "end", "best", "central", "up", "down", "up as float32"),
        [
            (
                f"{record.updates} updates in {len(record.rounds)} rounds",
                percent(record.accuracy_start),
                percent(record.accuracy_end),
                percent(record.accuracy_best),
                percent(record.accuracy_central),
                size(totals.bytes_up),
                size(totals.bytes_down),
                size(totals.bytes_up_float32),
            )
        ],
    )
    out.line(f"model   {run / 'model.tflite'}")
    out.line(f"report  {run / 'report.html'}")
    return {
        "accuracy_int8_start": record.accuracy_start,
        "accuracy_int8_end": record.accuracy_end,
        "accuracy_int8_best": record.accuracy_best,
        "accuracy_central": record.accuracy_central,
        "rounds": len(record.rounds) - record.abandoned,
        "updates": record.updates,
        "bytes_up": totals.bytes_up,
        "bytes_down": totals.bytes_down,
        "bytes_up_float32": totals.bytes_up_float32,
        "seconds": round(seconds, 3),
        "model": str(run / "model.tflite"),
        "run": str(run),
    }
