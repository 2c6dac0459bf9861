"""`microfed broker`: the MQTT broker of an experiment, on its own."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from cli.config import load
from cli.options import config_argument, set_option
from cli.output import Output, reports_errors

LOOK = 1.0  # seconds between looks at whether it still runs


@click.command(epilog="Example: microfed broker examples/har.toml --set broker.port=1883")
@config_argument
@set_option
@click.option(
    "--out",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/broker"),
    show_default=True,
    help="Where the broker keeps its configuration and log.",
)
@reports_errors
def command(config: Path, overrides: tuple[str, ...], directory: Path, out: Output) -> None:
    """Run the broker that CONFIG describes until interrupted."""
    from mqtt_broker.broker import start

    settings = load(config, overrides).broker
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with start(settings, directory) as broker:
        url = str(broker.endpoint)
        out.line(f"{broker.kind} listens on {url}. Interrupt to stop it.")
        out.result({"broker": url, "kind": broker.kind})
        while not stop.wait(LOOK):
            broker.check()
