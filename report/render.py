"""A RunRecord as one HTML file that needs nothing but itself."""

from __future__ import annotations

import os
from pathlib import Path

from report.record import RunRecord


def render(record: RunRecord) -> str:
    """The whole page: no script, and nothing that a browser would fetch.

    The same record gives the same text.
    """
    # matplotlib and jinja2 take 0.8 s of CPU to import: only who draws pays.
    from report.page import page  # noqa: PLC0415

    return page(record)


def write(record: RunRecord, path: Path) -> None:
    """Write aside, then rename: a reader of `path` sees the old page or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(render(record).encode("utf-8", "replace"))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
