"""How quickly the commands start that need no TensorFlow."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.bars import Bar, Outcome, Row
from cli.output import Output

MODEL = Path(__file__).parent.parent / "tflite_models" / "digits" / "model.tflite"
LIGHT = ("inspect", "aggregate", "devices", "broker")
STARTS = {
    "--help": ["--help"],
    **{f"{name} --help": [name, "--help"] for name in LIGHT},
    "inspect FILE": ["inspect", str(MODEL)],
}
TURNS = 4  # the least of them counts: the first compiles, and noise only adds
MOST = 0.5  # seconds of CPU


def measure(out: Output) -> Outcome:
    """Start each command as a process of its own."""
    seconds = {name: round(min(_turns(words)), 3) for name, words in STARTS.items()}
    rows: list[Row] = [{"command": name, "cpu_seconds": s} for name, s in seconds.items()]
    for row in rows:
        out.line(str(row))
    worst = max(seconds.values())
    claim = "seconds of CPU to start, the slowest command without TensorFlow"
    return Outcome(rows, [Bar("start", claim, worst, f"< {MOST}", worst < MOST)])


def _turns(words: list[str]) -> list[float]:
    return [cpu_seconds("-m", "cli.main", *words) for _ in range(TURNS)]


def cpu_seconds(*arguments: str) -> float:
    """CPU seconds of Python run with `arguments`, which may keep what it compiles."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
