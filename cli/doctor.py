"""`microfed doctor`: what is installed, what is missing, and what each missing thing costs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from cli.output import Output, reports_errors


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    name: str
    found: str  # a version or a path; empty when missing
    cost: str  # what does not work without it


PACKAGES = {
    "numpy": "nothing works without it",
    "paho-mqtt": "no fleet, no aggregator",
    "ai-edge-litert": "no reading and no evaluating of .tflite files",
    "amqtt": "no embedded broker: install Mosquitto, or name one with --broker",
    "scikit-learn": "no digits data set",
    "matplotlib": "no report",
    "tensorflow": "no build: start from a .tflite that exists (pip install 'microfed[build]')",
    "tf_keras": "no build (pip install 'microfed[build]')",
    "tensorflow-model-optimization": "no build (pip install 'microfed[build]')",
}
PROGRAMS = {
    "mosquitto": "the embedded broker is used: loopback only, slower, trusted clients only",
    "chromium": "the test that opens the report in a browser is skipped",
}
SYSTEM_PATH = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))


@click.command(epilog="Example: microfed doctor --json")
@reports_errors
def command(out: Output) -> None:
    """Say what is installed, what is missing, and what each missing thing costs."""
    findings = list(_findings())
    out.table(
        ("", "found", "if missing"),
        [(f.name, f.found or "MISSING", "" if f.found else f.cost) for f in findings],
    )
    missing = [f.name for f in findings if not f.found]
    out.line("Everything is here." if not missing else f"Missing: {', '.join(missing)}.")
    out.result({"findings": [asdict(f) for f in findings], "missing": missing})


def _findings() -> Iterator[Finding]:
    yield Finding("python", platform.python_version(), "")
    yield Finding("processors", str(os.cpu_count()), "")
    for name, cost in PACKAGES.items():
        yield Finding(name, _version(name), cost)
    for name, cost in PROGRAMS.items():
        where = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH) or ""
        yield Finding(name, where, cost)
    yield Finding("C core", _core(), "devices train in NumPy, slower: make -C firmware/core")
    yield _folder("MICROFED_DATA", "no data sets but digits and npz: files")
    yield _folder("MICROFED_MODELS", "the public models are not measured")
    # The folders are import packages; another distribution may claim the same names.
    yield Finding(
        "own packages", _own_packages(), "another package shadows one of ours: use a venv"
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _core() -> str:
    from core.library import NoCoreError, library, location

    try:
        library()
    except NoCoreError:
        return ""
    return str(location())


def _folder(variable: str, cost: str) -> Finding:
    folder = os.environ.get(variable, "")
    return Finding(variable, folder if folder and Path(folder).is_dir() else "", cost)


def _own_packages() -> str:
    home = Path(__file__).resolve().parent.parent
    for name in ("datasets", "pipeline", "wire"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).parent.parent != home:
            return ""
    return f"{home} on Python {sys.version_info.major}.{sys.version_info.minor}"
