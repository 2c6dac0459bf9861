"""What a command says: tables and lines for people, one JSON object for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cli.exits import Exit, exit_code

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 160  # columns where nobody looks at a terminal


class Output:
    """Where a command writes.

    With `--json` the last line of stdout is one JSON object and everything
    meant for people goes to stderr.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @functools.cached_property
    def console(self) -> Console:
        """The rich console for people; imported at first use."""
        from rich.console import Console

        console = Console(stderr=self.as_json, highlight=False)
        if not console.is_terminal:
            console.width = LOG_WIDTH
        return console

    def line(self, text: str = "") -> None:
        """Write a plain line for people."""
        click.echo(text, err=self.as_json)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write a table for people; every column but the first is right-aligned."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD)
        texts = [[str(cell) for cell in row] for row in rows]
        table.add_column(columns[0], no_wrap=True)  # gives way where the terminal is narrow
        for i, column in enumerate(columns[1:], 1):
            widest = max(len(text[i]) for text in [columns, *texts])
            table.add_column(column, justify="right", no_wrap=True, min_width=widest)
        for row_texts in texts:
            table.add_row(*row_texts)
        self.console.print(table)

    def result(self, value: dict[str, Any]) -> None:
        """Write the JSON object, when asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()

    def failed(self, message: str, code: Exit) -> NoReturn:
        """End the process with the code, and the object that says why, when asked for."""
        self.result({"error": message, "exit": int(code)})
        sys.exit(code)


def reports_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--json`, an Output as `out`, and errors that are for people.

    An error that the project knows ends with its one message and its exit
    code; anything else is a defect of ours and keeps its traceback.
    """

    @click.option("--json", "as_json", is_flag=True, help="Last line of stdout: one JSON object.")
    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> None:
        out = Output(as_json=as_json)
        try:
            function(*args, out=out, **kwargs)
        except KeyboardInterrupt:
            _fail(out, "interrupted", Exit.INTERRUPTED)
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            _fail(out, str(error), code)

    return wrapped


def _fail(out: Output, message: str, code: Exit) -> NoReturn:
    click.echo(f"microfed: {message}", err=True)
    out.failed(message, code)


def percent(value: float | None) -> str:
    """An accuracy or a share as people read it."""
    return "–" if value is None else f"{100 * value:.1f} %"


def energy(joules: float) -> str:
    """Joules as people read them."""
    for unit, scale in (("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if joules >= scale:
            return f"{joules / scale:.3g} {unit}"
    return f"{joules * 1e9:.3g} nJ"


def size(count: float | None) -> str:
    """Bytes as people read them."""
    if count is None:
        return "–"
    for unit, scale in (("MB", 1e6), ("KB", 1e3)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count:,.0f} B"
