"""`microfed node`: real nodes of an experiment, as programs of this machine or in QEMU."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.config import Experiment, load
from cli.options import config_argument, endpoint_of, set_option
from cli.output import Output, reports_errors
from cli.parts import end_with_parent

if TYPE_CHECKING:
    from cli.shares import Shares
    from firmware.node_processes import RunningNode, Who

BOARD = "qemu-m4"
POLL = 0.2
DARK = 1.0  # seconds that a node which ended badly stays away
MOST_LIVES = 10  # in one run: then something is wrong with it, and not with its power

Start = Callable[["Who", bytes, Path], "RunningNode"]


@click.command(
    epilog="Example: microfed node examples/digits.toml --broker mqtt://127.0.0.1:1883 "
    "--model runs/digits/base.tflite --count 3"
)
@config_argument
@set_option
@click.option("--broker", "broker_url", metavar="mqtt://HOST:PORT", help="The broker.")
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The int8 .tflite that the run starts from: nodes are compiled for it.",
)
@click.option(
    "--export",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run nothing: write the C of a node for a board of yours (docs/firmware.md).",
)
@click.option("--posix", is_flag=True, help="Programs of this machine, not boards in QEMU.")
@click.option(
    "--board",
    type=click.Choice(["qemu-m4", "qemu-m7", "qemu-m55"]),
    default=BOARD,
    show_default=True,
    help="The board in QEMU.",
)
@click.option("--first", default=0, show_default=True, help="The first device's number.")
@click.option("--count", default=1, show_default=True, help="How many.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("nodes"),
    show_default=True,
    help="A folder for each node in here: its log, and its flash, which outlives it.",
)
@click.option(
    "--out",
    "account",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what every node did and needed, as JSON.",
)
@reports_errors
def command(
    config: Path,
    overrides: tuple[str, ...],
    broker_url: str | None,
    model: Path,
    export: Path | None,
    posix: bool,
    board: str,
    first: int,
    count: int,
    keep: Path,
    account: Path | None,
    out: Output,
) -> None:
    """Run devices of CONFIG as real firmware, against the broker that its aggregator is on.

    A node that is killed is started again, with the flash that it had.
    """
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    experiment = load(config, overrides)

    from cli.shares import shares_of

    shares = shares_of(experiment)
    total = len(shares.devices)
    if first < 0 or count < 1 or first + count > total:
        raise click.UsageError(
            f"--first {first} --count {count}: the experiment has {total} devices"
        )
    which = range(first, first + count)
    if export is not None:
        _export(experiment, shares, model.read_bytes(), export, out)
        return
    if broker_url is None:
        raise click.UsageError("--broker: name the broker of the run, or --export a folder")
    build = _posix if posix else _board(board)
    kind = "posix" if posix else board
    start, ram = build(experiment, shares, which, model.read_bytes(), keep)
    broker = endpoint_of(broker_url, experiment.broker)
    fleet = _Fleet(experiment.name, broker.host, broker.port, shares, keep, start)
    fleet.run(which)
    facts = {device: fact | {"board": kind, "ram": ram} for device, fact in fleet.facts().items()}
    if account is not None:
        account.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    trained = sum(fact["trained"] for fact in facts.values())
    out.line(f"{count} nodes ({kind}): trained {trained} times")
    out.result({"nodes": count, "board": kind, "trained": trained})


def _export(experiment: Experiment, shares: Shares, file: bytes, folder: Path, out: Output) -> None:
    from cli.nodes import kit_for
    from firmware.nodes import export_node

    kit = kit_for(experiment, shares, range(len(shares.devices)), file)
    made = export_node(kit.model, kit.sizes, folder)
    out.line(f"the C of a node is in {folder}; its memory is in {made[-1]}")
    out.result({"folder": str(folder), "made": [str(path) for path in made]})


@dataclass
class _Fleet:
    """Nodes that run until they have left."""

    name: str
    host: str
    port: int
    shares: Shares
    keep: Path
    start: Start

    def __post_init__(self) -> None:
        self._lives: dict[str, int] = {}

    def run(self, which: range) -> None:
        """Start the nodes of these devices, and those again that end without a goodbye."""
        from firmware.node_processes import RunningNodes

        with RunningNodes() as nodes:
            for index in which:
                nodes.add(self._begin(index))
            alive = set(which)
            while alive:
                time.sleep(POLL)
                for index in sorted(alive):
                    code = nodes.nodes[self.shares.devices[index]].process.poll()
                    if code == 0:
                        alive.discard(index)
                    elif code is not None:
                        time.sleep(DARK)
                        nodes.add(self._begin(index))

    def facts(self) -> dict[str, dict[str, Any]]:
        """What each node said of itself."""
        from firmware.node_processes import account_of

        return {
            device: asdict(account_of(self.keep / device, lives))
            for device, lives in self._lives.items()
        }

    def _begin(self, index: int) -> RunningNode:
        from cli.nodes import samples_of
        from firmware.node_processes import Who
        from firmware.qemu import FirmwareError

        device = self.shares.devices[index]
        self._lives[device] = self._lives.get(device, 0) + 1
        if self._lives[device] > MOST_LIVES:
            raise FirmwareError(f"{device} ended {MOST_LIVES} times: see {self.keep / device}")
        who = Who(self.host, self.port, self.name, device)
        return self.start(who, samples_of(self.shares, index), self.keep / device)


Built = tuple[Start, int]  # and bytes of RAM beside the stack; 0: nobody counts them


def _posix(experiment: Experiment, shares: Shares, which: range, file: bytes, keep: Path) -> Built:
    from cli.nodes import kit_for
    from firmware.node_processes import start_posix
    from firmware.nodes import posix_program

    kit = kit_for(experiment, shares, which, file)
    program = posix_program(kit.model, kit.sizes, (keep / "program").resolve())
    return (lambda who, samples, folder: start_posix(program, who, samples, folder)), 0


def _board(name: str) -> Callable[..., Built]:
    def build(
        experiment: Experiment, shares: Shares, which: range, file: bytes, keep: Path
    ) -> Built:
        from cli.nodes import kit_for
        from firmware.node_processes import start_qemu
        from firmware.nodes import qemu_image
        from firmware.qemu import MACHINES

        kit = kit_for(experiment, shares, which, file)
        machine = MACHINES[name]
        image = qemu_image(machine, kit.model, kit.sizes, (keep / "program").resolve())
        return (
            lambda who, samples, folder: start_qemu(machine, image, who, samples, folder)
        ), image.ram

    return build
