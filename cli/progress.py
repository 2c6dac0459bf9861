"""Long work as people watch it: a bar at a terminal, a line a step elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.output import Output


@contextmanager
def progress(out: Output, what: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """Yield a function that is told how many steps are done, and how things stand.

    `total` is None where nobody knows before the end how many there will be.
    """
    if not out.console.is_terminal:
        yield lambda _, note: out.line(note)
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=out.console) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)
