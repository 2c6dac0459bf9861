"""Running `microfed` the way a person does: as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

Json = dict[str, Any]


def microfed(*arguments: str) -> Json:
    """Run a command with --json and return the object on its last line of stdout.

    Raises:
        subprocess.CalledProcessError: it ended badly; its stderr has been shown.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *arguments, "--json"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: Json = json.loads(done.stdout.splitlines()[-1])
    return result
