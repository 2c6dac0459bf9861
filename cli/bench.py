"""`microfed bench`: measure the project's own claims."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from cli.exits import Exit
from cli.output import Output, reports_errors

# Each is a module of benchmarks/ with run(only, out) → benchmarks.bars.Outcome.
BENCHES = {
    "slice": "the main job, end to end: bars 2.1 to 2.6, and quick starts",
    "wire": "accuracy against bytes of every codec: bars 4.1 to 4.7",
    "fleet": "the core and fleets of up to 10,000 devices: bars 3.1 to 3.7, beside simulators",
    "node": "firmware that takes part in rounds, in QEMU: bars 6.1 to 6.7",
    "energy": "instructions of the released models; a plan beside its run",
    "firmware": "compiled models, here and in QEMU: bars 5.1 to 5.7",
}


@click.command(epilog="Example: microfed bench slice --only 2.4 --json")
@click.argument("name", type=click.Choice(list(BENCHES)))
@click.option("--only", multiple=True, metavar="N.M", help="One bar; may be given again.")
@click.option(
    "--data",
    type=click.Choice(["digits", "har", "fashion"]),
    help="Data set of the rounds of `wire` (har).",
)
@reports_errors
def command(name: str, only: tuple[str, ...], data: str | None, out: Output) -> None:
    """Run benchmark NAME and say which bars hold; exit code 7 when one does not."""
    if data and name != "wire":
        raise click.BadParameter(f"{name} has its own data", param_hint="--data")
    given = {"data": data} if data else {}
    outcome = import_module(f"benchmarks.{name}").run(only, out, **given)
    for row in outcome.rows:
        out.line("  ".join(f"{key}={value}" for key, value in row.items()))
    for b in outcome.bars:
        out.line(
            f"{b.number} {'ok' if b.ok else 'MISSED'}: {b.claim}: {b.value} (target {b.target})"
        )
    bars = {b.number: {"value": b.value, "target": b.target, "ok": b.ok} for b in outcome.bars}
    out.result({"rows": outcome.rows, "bars": bars})
    if not all(b.ok for b in outcome.bars):
        sys.exit(Exit.BUDGET)  # not an error: the result above is complete
