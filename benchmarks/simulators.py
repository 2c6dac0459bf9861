"""Other simulators on the same workload, each in a process of the environment `.venv-peers`.

`make peers` makes that environment.  Timed are the training rounds, neither
start-up nor data; none of them has a broker, a codec or state on disk.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from benchmarks.bars import Row
from cli.output import Output

HERE = Path(__file__).parent / "peers"
PYTHON = HERE.parents[1] / ".venv-peers" / "bin" / "python"
PEERS = ("bare_numpy", "fedjax_peer", "pfl_peer", "flower_peer")
PATIENCE = 600.0  # seconds


def measure(clients: int, cohort: int, rounds: int, out: Output) -> list[Row]:
    """A row for each; what is missing says so."""
    rows = [_row(peer, clients, cohort, rounds) for peer in PEERS]
    for row in rows:
        out.line(str(row))
    return rows


def _row(peer: str, clients: int, cohort: int, rounds: int) -> Row:
    row: Row = {"peer": peer.removesuffix("_peer"), "clients": clients, "cohort": cohort}
    if not PYTHON.exists():
        return row | {"missing": "no .venv-peers: make peers"}
    command = [str(PYTHON), str(HERE / f"{peer}.py"), str(clients), str(cohort), str(rounds)]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=True, env=env
        )
    except subprocess.CalledProcessError as error:
        return row | {"missing": (error.stderr or "it failed").strip().splitlines()[-1][:200]}
    except subprocess.TimeoutExpired:
        return row | {"missing": f"not done within {PATIENCE:g} s"}
    said: Row = json.loads(done.stdout.splitlines()[-1])
    return row | said
