"""The `microfed` command.  A sub-command's module is imported when it runs, not before."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from cli.exits import Exit
from cli.output import Output

# Before NumPy is imported: the matrices of small networks are not worth a second thread, and
# several processes with a thread per core each make a product ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

COMMANDS = {
    "build": "Train, prune, quantise and convert a Keras model to an int8 .tflite.",
    "run": "Broker, aggregator and fleet together: teach a model, write a report.",
    "plan": "Say what a roll-out will cost in bytes, joules and days.",
    "broker": "Run the MQTT broker of an experiment.",
    "aggregate": "Run the aggregator of an experiment against a broker.",
    "devices": "Run simulated devices of an experiment against a broker.",
    "node": "Run devices of an experiment as real firmware, here or in QEMU.",
    "inspect": "Say what is in a .tflite file, and whether it fits a board.",
    "compile": "Turn an int8 .tflite into C99 for a microcontroller.",
    "flash": "Build a model for a board, put it there, and test it.",
    "report": "Write the HTML report of a run.",
    "new": "Write a commented configuration to start from.",
    "doctor": "Say what is installed, what is missing, and what that costs.",
    "bench": "Measure the project's own claims.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module, cli.<name>, and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table above, so that --help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: microfed run examples/digits.toml",
)
@click.version_option(package_name="microfed", message="%(prog)s %(version)s")
def microfed() -> None:
    """Squeeze a Keras model onto a microcontroller and let the fleet go on teaching it."""


def main() -> None:
    """Run the command line.  A wrong one is told like every error: under --json as an object too.

    click would only print it; whether --json is there is read from the words,
    because they could not be parsed.
    """
    try:
        sys.exit(microfed.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        Output(as_json="--json" in sys.argv).failed(error.format_message(), Exit(error.exit_code))
    except click.Abort:
        sys.exit(Exit.INTERRUPTED)


if __name__ == "__main__":
    main()
