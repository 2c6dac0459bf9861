"""The end of a run: its report, its table, and what --json says of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import Output, energy, percent, size

if TYPE_CHECKING:
    from report.record import RunRecord


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
    if record.energy:
        out.line(
            f"energy  {energy(record.energy.each)} a device, on {record.energy.board} by "
            f"{record.energy.link}"
        )
        for name, why in record.energy.lacking.items():
            out.line(f"        without {name}: {why}")
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
        **_joules(record),
    }


def _joules(record: RunRecord) -> dict[str, Any]:
    spent = record.energy
    if spent is None:
        return {"joules": None, "joules_per_device": None, "joules_per_point": None}
    known = {name: None if name in spent.lacking else n for name, n in spent.joules.items()}
    whole = "training" not in spent.lacking
    return {
        "joules": {**known, "total": spent.total if whole else None},
        "joules_per_device": spent.each if whole else None,
        "joules_per_point": record.joules_per_point,
        "joules_lacking": dict(spent.lacking),
        "joules_measured": spent.measured,
    }
