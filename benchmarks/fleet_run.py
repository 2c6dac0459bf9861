"""One run of the softmax workload, its parts as processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bars import Row
from benchmarks.fleet_part import Plan, status
from cli.output import Output
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings

PATIENCE = 600.0  # seconds for one run
IN_MEMORY = Path("/dev/shm")


def best(plan: Plan, turns: int, out: Output) -> Row:
    """The fastest of several runs: others' use of the machine only adds."""
    rows = [play(plan) for _ in range(turns)]
    assert len({row["model"] for row in rows}) == 1, "the same seed must end with the same model"
    row = min(rows, key=lambda r: float(r["seconds"])) | {"turns": turns}
    out.line(str(row))
    return row


def play(plan: Plan) -> Row:
    """Run it once: seconds from the first announcement to the end of the last round."""
    in_memory = plan.transport == "memory" and IN_MEMORY.is_dir()
    place = tempfile.mkdtemp(prefix="microfed-fleet-", dir=IN_MEMORY if in_memory else None)
    plan = replace(plan, folder=f"{place}/run")
    try:
        if plan.transport == "memory":
            said = _ended(_part(plan, role="all"))
        else:
            with start(BrokerSettings(kind="mosquitto"), Path(place) / "broker") as broker:
                port = broker.endpoint.port
                parts = [_part(plan, role=role, port=port) for role in ("aggregate", "devices")]
                said = _ended(parts[0]) | _ended(parts[1])
                said["memory_broker"] = status("VmHWM", broker.pid)
    finally:
        shutil.rmtree(place)
    row: Row = {
        key: getattr(plan, key) for key in ("clients", "cohort", "rounds", "transport", "codec")
    }
    row |= said | {"expected": plan.cohort * plan.rounds}
    row["memory"] = sum(value for key, value in said.items() if key.startswith("memory_"))
    row["load"] = round(os.getloadavg()[0], 1)
    return row


def _part(plan: Plan, **changed: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "benchmarks.fleet_part", plan.as_json(**changed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _ended(part: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        said, _ = part.communicate(timeout=PATIENCE)
    finally:
        part.kill()
    if part.returncode:
        raise subprocess.CalledProcessError(part.returncode, part.args)
    result: dict[str, Any] = json.loads(said)
    return result
