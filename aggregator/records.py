"""Reading a run back: everything that a report or a test asks about it.

Opens the store read-only, so it works on a finished run and beside a live one.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator.errors import NoRunError
from aggregator.round import Stage
from aggregator.schema import SCHEMA_VERSION, STORE_NAME, Totals, weights_from
from tflite_models.parameters import Weights
from wire.messages import Reason


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A round that ended.  Number 0 is no round: it is the base file, evaluated."""

    number: int
    version: int  # the newest when it ended
    accuracy: float  # of that version
    abandoned: bool = False
    cohort: int = 0
    accepted: int = 0
    declined: int = 0
    loss_before: float = 0.0  # mean over the accepted updates, weighted by samples
    loss_after: float = 0.0
    seconds: float = 0.0  # from its opening (or the last restart in it) to the evaluated version
    bytes_up: int = 0  # MQTT payload bytes since the run began
    bytes_down: int = 0


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What one device did in the whole run."""

    device: str
    invited: int  # rounds that had it in their cohort
    accepted: int
    declined: int
    late: int
    refused: int  # answers other than ACCEPTED, late ones included
    samples: int  # of its last accepted update
    bytes_up: int  # MQTT payload bytes, from its first Hello on
    bytes_down: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, read from its directory."""

    identity: Mapping[str, object]  # base digest, seed, settings: as given when it began
    rounds: tuple[RoundRecord, ...]
    refusals: Mapping[str, int]  # by the name of the reason
    devices: tuple[DeviceRecord, ...]
    totals: Totals  # until the end, farewells included

    @property
    def best(self) -> RoundRecord:
        """The round that made the most accurate version; the earliest of equals."""
        made = [r for r in self.rounds if not r.abandoned]
        return max(made, key=lambda r: r.accuracy)


def read_record(directory: Path) -> RunRecord:
    """Read the run in `directory`; NoRunError if there is none."""
    with _opened(directory) as db:
        identity = _identity(db)
        totals = Totals(*(identity.pop(key, 0) for key in ("bytes_up", "bytes_down")))
        return RunRecord(identity, _rounds(db), _refusals(db), _devices(db), totals)


def read_versions(directory: Path) -> dict[int, Weights]:
    """Every version of the model that the run in `directory` has; NoRunError if there is none."""
    with _opened(directory) as db:
        rows = db.execute("SELECT version, codes, scales FROM versions ORDER BY version")
        return {version: weights_from(codes, scales) for version, codes, scales in rows}


def has_begun(directory: Path) -> bool:
    """Whether a round was ever opened in `directory`; NoRunError if nobody can tell."""
    if not (directory / STORE_NAME).exists():
        return False
    with _opened(directory) as db:
        return db.execute("SELECT 1 FROM rounds LIMIT 1").fetchone() is not None


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[sqlite3.Connection]:
    path = directory / STORE_NAME
    if not path.is_file():
        raise NoRunError(path, "there is no such file")
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise NoRunError(path, f"its schema is {version}, {SCHEMA_VERSION} is known")
        db.execute("BEGIN")  # one view of a live run
        yield db
    except sqlite3.DatabaseError as error:
        raise NoRunError(path, str(error)) from error
    finally:
        db.close()


def _identity(db: sqlite3.Connection) -> dict[str, Any]:
    rows = db.execute("SELECT key, value FROM meta ORDER BY key")
    return {key: json.loads(value) for key, value in rows}


def _rounds(db: sqlite3.Connection) -> tuple[RoundRecord, ...]:
    accuracy = dict(db.execute("SELECT version, accuracy FROM versions"))
    if not accuracy:
        return ()
    rows = db.execute(
        "SELECT number, version, stage, cohort, loss_before, loss_after, seconds, bytes_up, "
        "bytes_down, (SELECT count(*) FROM answers WHERE round = number AND reason = 0), "
        "(SELECT count(*) FROM answers WHERE round = number AND reason IS NULL) "
        "FROM rounds WHERE stage != ? ORDER BY number",
        (Stage.OPEN.value,),
    )
    records = [RoundRecord(0, 0, accuracy[0])]
    for (
        number,
        version,
        stage,
        cohort,
        before,
        after,
        seconds,
        up,
        down,
        accepted,
        declined,
    ) in rows:
        abandoned = stage == Stage.ABANDONED.value
        newest = version if abandoned else version + 1
        records.append(
            RoundRecord(
                number,
                newest,
                accuracy[newest],
                abandoned,
                len(json.loads(cohort)),
                accepted,
                declined,
                before,
                after,
                seconds,
                up,
                down,
            )
        )
    return tuple(records)


def _refusals(db: sqlite3.Connection) -> dict[str, int]:
    rows = db.execute("SELECT reason, sum(count) FROM refusals GROUP BY reason ORDER BY reason")
    return {Reason(reason).name: count for reason, count in rows}


def _devices(db: sqlite3.Connection) -> tuple[DeviceRecord, ...]:
    invited: dict[str, int] = {}
    for (cohort,) in db.execute("SELECT cohort FROM rounds"):
        for device in json.loads(cohort):
            invited[device] = invited.get(device, 0) + 1
    answered = {
        device: rest
        for device, *rest in db.execute(
            "SELECT device, sum(reason IS 0), sum(reason IS NULL), max(round), "
            "samples FROM answers GROUP BY device"
        )
    }
    refused = {
        device: rest
        for device, *rest in db.execute(
            "SELECT device, sum(count * (reason = ?)), sum(count) FROM refusals GROUP BY device",
            (int(Reason.LATE),),
        )
    }
    traffic = {device: rest for device, *rest in db.execute("SELECT * FROM traffic")}
    devices = []
    for device in sorted({*invited, *answered, *refused, *traffic} - {""}):
        accepted, declined, _, samples = answered.get(device, (0, 0, 0, 0))
        late, all_refused = refused.get(device, (0, 0))
        devices.append(
            DeviceRecord(
                device,
                invited.get(device, 0),
                accepted,
                declined,
                late,
                all_refused,
                samples,
                *traffic.get(device, (0, 0)),
            )
        )
    return tuple(devices)
