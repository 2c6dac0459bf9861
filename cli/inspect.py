"""`microfed inspect`: what is in a .tflite file, and whether it fits a board."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.exits import Exit
from cli.output import Output, percent, reports_errors, size
from tflite_models.boards import BOARDS, board_named, fits
from tflite_models.errors import ModelError

if TYPE_CHECKING:
    from tflite_models.boards import Board
    from tflite_models.inspect import Summary


@click.command(epilog="Example: microfed inspect tflite_models/har/model.tflite --board nano33ble")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--board",
    type=click.Choice(list(BOARDS)),
    metavar="NAME",
    help=f"Say whether it fits; exit code 7 if not. {', '.join(BOARDS)}.",
)
@click.option("--train", is_flag=True, help="Say how much RAM training takes, choice by choice.")
@reports_errors
def command(file: Path, board: str | None, train: bool, out: Output) -> None:
    """Say what FILE holds: operators, tensors, quantisation, sparsity, MACs, flash and RAM."""
    from tflite_models.inspect import summarize

    try:
        summary = summarize(file.read_bytes())
    except ModelError as error:
        raise ModelError(str(file), f"{error.where}: {error.what}") from error
    _show(file, summary, out)
    result = _result(summary)
    verdict = fits(summary, board_named(board)) if board else None
    if board and verdict:
        out.line(f"{BOARDS[board].title}: {'it fits' if verdict.fits else 'it does not fit'}")
        for reason in verdict.reasons:
            out.line(f"  {reason}")
        result |= {"board": board, **asdict(verdict)}
    trainable = True
    if train:
        training = _training(file, board_named(board) if board else None, out)
        trainable = not board or training["chosen"] is not None
        result["training"] = training
    out.result(result)
    if not trainable or (verdict and not verdict.fits):
        sys.exit(Exit.BUDGET)


def _training(file: Path, board: Board | None, out: Output) -> dict[str, Any]:
    """Show what can be trained in how much RAM, and what fits the board."""
    from device_sim.memory import choices, largest_that_fits
    from tflite_models.graph import read_graph
    from tflite_models.parameters import layout_of

    graph = read_graph(file.read_bytes())
    found = choices(graph, layout_of(graph))
    chosen = largest_that_fits(found, board) if board else None
    out.table(
        ("trains", "parameters", "RAM"),
        [(c.name, f"{c.parameters:,}", f"{c.bytes:,} B") for c in found],
    )
    if board:
        name = f"{chosen.name} ({chosen.bytes:,} B)" if chosen else "nothing: too little RAM"
        out.line(f"{board.title} can train {name}")
    return {
        "choices": [{"name": c.name, "parameters": c.parameters, "bytes": c.bytes} for c in found],
        "chosen": chosen.name if chosen else None,
    }


def _show(file: Path, summary: Summary, out: Output) -> None:
    out.table(
        ("operator", "#", "output", "MACs"),
        [(o.name, o.index, "×".join(map(str, o.output)), f"{o.macs:,}") for o in summary.operators],
    )
    out.table(
        ("tensor", "#", "shape", "type", "scales", "zero point", "zeros"),
        [
            (
                t.name or t.role,
                t.index,
                "×".join(map(str, t.shape)) or "scalar",
                t.dtype,
                t.scales,
                "–" if t.zero_point is None else t.zero_point,
                percent(t.sparsity) if t.zeros is not None else "",
            )
            for t in summary.tensors
        ],
    )
    out.line(
        f"{file}: {summary.parameters:,} parameters, {percent(summary.sparsity)} of the weights "
        f"zero, {summary.macs:,} MACs, {size(summary.flash_bytes)} of flash, "
        f"{size(summary.peak_ram)} of tensor RAM (no plan needs less than "
        f"{size(summary.memory.bound)})"
    )


def _result(summary: Summary) -> dict[str, Any]:
    return {
        "parameters": summary.parameters,
        "macs": summary.macs,
        "sparsity": summary.sparsity,
        "bytes_flash": summary.flash_bytes,
        "bytes_weights": summary.weight_bytes,
        "bytes_ram": summary.peak_ram,
        "bytes_ram_bound": summary.memory.bound,
        "operators": [asdict(o) for o in summary.operators],
        "tensors": [asdict(t) | {"sparsity": t.sparsity} for t in summary.tensors],
    }
