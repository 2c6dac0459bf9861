"""Bar 2.5: whatever anybody publishes, at the aggregator and at a device.

The measurement is the tests' own: they count the payloads that hypothesis
made and fail on a crash, on growth, or on a refusal that was not counted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.bars import Bar, Outcome, Row
from cli.output import Output

ROOT = Path(__file__).parent.parent
SIDES = {
    "aggregator": "tests/aggregator/test_hostile.py",
    "device": "tests/device_sim/test_hostile.py",
}
LEAST = 5_000


def measure(out: Output) -> Outcome:
    """Run both tests and read how many payloads they went through."""
    rows = [_attack(side, path) for side, path in SIDES.items()]
    out.line(str(rows))
    value = ", ".join(f"{r['side']} {r['payloads']:,} ({r['refused']:,} refused)" for r in rows)
    ok = all(row["passed"] and row["payloads"] >= LEAST for row in rows)
    claim = "hostile payloads survived, every refusal counted"
    return Outcome(rows, [Bar("2.5", claim, value, f"≥ {LEAST:,} each, no failure", ok)])


def _attack(side: str, path: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", path, f"--junit-xml={results}"]
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        counted = numbers_in(results)
    return {"side": side, "passed": done.returncode == 0, **counted}


def numbers_in(results: Path) -> dict[str, int]:
    """What the tests recorded, from pytest's XML; hypothesis adds statistics of its own there."""
    properties = ET.parse(results).iter("property")
    recorded = {p.get("name", ""): p.get("value", "0") for p in properties}
    return {name: int(value) for name, value in recorded.items() if value.isdigit()}
