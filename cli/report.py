"""`microfed report`: the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

import click

from cli.output import Output, reports_errors


@click.command(epilog="Example: microfed report runs/har-20260101-120000")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@reports_errors
def command(run: Path, out: Output) -> None:
    """Write RUN/report.html, one file that opens with no network."""
    from cli.record import record_of
    from report.render import write

    path = run / "report.html"
    write(record_of(run), path)
    out.line(f"Wrote {path}")
    out.result({"report": str(path)})
