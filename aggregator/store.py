"""The state of a run on disk: one SQLite file, written before anything is announced.

Writes gather in one transaction until `commit`; a process that dies before it
has said nothing of them to anybody.  Layout in schema.py, reading for reports
in records.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from aggregator.errors import RunBusyError, StoreMismatchError
from aggregator.round import REMEMBERED, Answer, Stage
from aggregator.schema import (
    SCHEMA,
    SCHEMA_VERSION,
    STORE_NAME,
    Ending,
    Loaded,
    Opened,
    Totals,
    codes_as_row,
    weights_from,
)
from aggregator.versions import Model
from tflite_models.parameters import Weights
from wire.messages import Reason

_ANSWER = "device, round, nonce, reason, samples, loss_before, loss_after"


class Store:
    """The one writer of a run's state.

    Args:
        directory: the run directory; made if it does not exist.
        identity: what makes this run this run (base file, settings, seed) as
            JSON values.  Once a round was opened, a store with another identity is
            refused with StoreMismatchError; one that is in use with RunBusyError.
    """

    _synchronous = "FULL"

    def __init__(self, directory: Path, identity: Mapping[str, object]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / STORE_NAME
        self._lock = _lock(directory)
        self._db = sqlite3.connect(self.path, isolation_level=None)
        # A commit survives a power cut; a write-ahead log lets reports be read beside us.
        self._db.execute(f"PRAGMA synchronous={self._synchronous}")
        self._db.execute("PRAGMA journal_mode=WAL")
        try:
            self._settle(identity)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def dirty(self) -> bool:
        """True while something is written that is not committed."""
        return self._db.in_transaction

    def commit(self) -> None:
        """Make everything written so far durable."""
        if self.dirty:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Take back everything that is not committed."""
        if self.dirty:
            self._db.execute("ROLLBACK")

    def count(self, totals: Totals, more: Mapping[str, Sequence[int]]) -> None:
        """Write the traffic until now, and what each device added since: bytes up and down."""
        self._write(
            "INSERT OR REPLACE INTO meta VALUES ('bytes_up', ?), ('bytes_down', ?)",
            (str(totals.bytes_up), str(totals.bytes_down)),
        )
        self._db.executemany(
            "INSERT INTO traffic VALUES (?, ?, ?) ON CONFLICT (device) DO UPDATE SET "
            "bytes_up = bytes_up + excluded.bytes_up, "
            "bytes_down = bytes_down + excluded.bytes_down",
            [(device, *traffic) for device, traffic in more.items()],
        )

    def close(self) -> None:
        """Drop what is not committed; leave one plain file that needs no log beside it."""
        if self._lock < 0:
            return
        self.rollback()
        with contextlib.suppress(sqlite3.OperationalError):  # somebody reads: the log may stay
            self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.close()
        os.close(self._lock)
        self._lock = -1

    def next_session(self) -> int:
        """A session number that no process of this run has used; committed."""
        session = self._number("session") + 1
        self._put("session", session)
        self.commit()
        return session

    def begin(self, model: Model, accuracy: float) -> Loaded:
        """Write version 0 of a new run; committed."""
        self._write_model(model, accuracy)
        self.commit()
        return Loaded(model, 0, None, {}, {}, Totals())

    def open_round(self, opened: Opened) -> None:
        """Write a round that is about to be announced."""
        self._write(
            "INSERT INTO rounds (number, version, cohort, quorum, stage) VALUES (?, ?, ?, ?, ?)",
            (
                opened.number,
                opened.version,
                json.dumps(opened.cohort),
                opened.quorum,
                Stage.OPEN.value,
            ),
        )

    def answer(self, device: str, answer: Answer, payload: bytes) -> None:
        """Write a member's answer.  An accepted one is never replaced."""
        reason = None if answer.reason is None else int(answer.reason)
        cursor = self._write(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (round, device) "
            "DO UPDATE SET nonce=excluded.nonce, reason=excluded.reason, samples=excluded.samples, "
            "loss_before=excluded.loss_before, loss_after=excluded.loss_after, "
            "payload=excluded.payload WHERE reason IS NOT 0",
            (
                answer.round,
                device,
                answer.nonce,
                reason,
                answer.samples,
                answer.loss_before,
                answer.loss_after,
                payload or None,
            ),
        )
        assert cursor.rowcount == 1, f"{device} was accepted in round {answer.round} before"

    def refuse(self, device: str, reason: Reason) -> None:
        """Count a refusal; `device` is "" for senders that are not known."""
        self._write(
            "INSERT INTO refusals VALUES (?, ?, 1) "
            "ON CONFLICT (device, reason) DO UPDATE SET count = count + 1",
            (device, int(reason)),
        )

    def close_round(self, number: int, ending: Ending, model: Model, accuracy: float) -> None:
        """Write the new version and end its round."""
        self._write_model(model, accuracy)
        self._end_round(number, Stage.CLOSED, ending)

    def abandon_round(self, number: int, ending: Ending) -> None:
        """End a round without a new version."""
        self._end_round(number, Stage.ABANDONED, ending)

    def weights(self, version: int) -> Weights:
        """The weights of a version that this run made."""
        row = self._db.execute(
            "SELECT codes, scales FROM versions WHERE version=?", (version,)
        ).fetchone()
        return weights_from(row[0], row[1])

    def accuracies(self) -> dict[int, float]:
        """Accuracy of every version."""
        return dict(self._db.execute("SELECT version, accuracy FROM versions ORDER BY version"))

    def payloads(self, number: int) -> list[tuple[str, bytes]]:
        """The accepted updates of the open round: device and bytes."""
        return self._db.execute(
            "SELECT device, payload FROM answers WHERE round=? AND reason=0 ORDER BY device",
            (number,),
        ).fetchall()

    def load(self) -> Loaded | None:
        """Where the run stands, or None if it has not begun."""
        row = self._db.execute("SELECT version, weights, parts, rule FROM master").fetchone()
        if row is None:
            return None
        version, master, parts, rule = row
        state = tuple(np.frombuffer(rule).reshape(parts, -1)) if parts else ()
        model = Model(version, self.weights(version), np.frombuffer(master), state)
        last = self._last_round()
        number, opened = (last[0].number, last[0]) if last else (0, None)
        if last and last[1] is not Stage.OPEN:
            opened = None
        answers = self._answers(number) if opened else {}
        earlier = self._earlier(number - 1 if opened else number)
        totals = Totals(self._number("bytes_up"), self._number("bytes_down"))
        return Loaded(model, number, opened, answers, earlier, totals)

    def _settle(self, identity: Mapping[str, object]) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise StoreMismatchError(self.path, "the schema version", version, SCHEMA_VERSION)
        if version == 0:
            self._db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        if any(self._get(what) not in (None, asked) for what, asked in identity.items()):
            self._forget_a_start()
        for what, asked in identity.items():
            stored = self._get(what)
            if stored is None:
                self._put(what, asked)
            elif stored != asked:
                raise StoreMismatchError(self.path, what, stored, asked)
        self.commit()

    def _forget_a_start(self) -> None:
        """A run that never opened a round was promised to nobody: it may become another."""
        if self._last_round() is None:
            self._write("DELETE FROM master", ())
            self._write("DELETE FROM versions", ())
            self._write("DELETE FROM meta WHERE key != 'session'", ())

    def _write_model(self, model: Model, accuracy: float) -> None:
        codes, scales = model.weights.codes, model.weights.scales
        self._write(
            "INSERT INTO versions VALUES (?, ?, ?, ?)",
            (
                model.version,
                codes_as_row(codes),
                scales.astype("<f4").tobytes(),
                accuracy,
            ),
        )
        self._write(
            "INSERT OR REPLACE INTO master VALUES (1, ?, ?, ?, ?)",
            (
                model.version,
                model.master.tobytes(),
                len(model.rule_state),
                b"".join(part.tobytes() for part in model.rule_state),
            ),
        )

    def _end_round(self, number: int, stage: Stage, ending: Ending) -> None:
        totals = ending.totals
        self._write(
            "UPDATE rounds SET stage=?, loss_before=?, loss_after=?, seconds=?, "
            "bytes_up=?, bytes_down=? WHERE number=?",
            (
                stage.value,
                ending.loss_before,
                ending.loss_after,
                ending.seconds,
                totals.bytes_up,
                totals.bytes_down,
                number,
            ),
        )
        # The sum has them now; who answered what stays, for the record and for late repeats.
        self._write("UPDATE answers SET payload=NULL WHERE round=?", (number,))

    def _last_round(self) -> tuple[Opened, Stage] | None:
        row = self._db.execute(
            "SELECT number, version, cohort, quorum, stage FROM rounds ORDER BY number DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        return Opened(row[0], row[1], tuple(json.loads(row[2])), row[3]), Stage(row[4])

    def _answers(self, number: int) -> dict[str, Answer]:
        rows = self._db.execute(
            f"SELECT {_ANSWER} FROM answers WHERE round=? ORDER BY device",  # noqa: S608 - ours
            (number,),
        )
        return {device: _answer(*rest) for device, *rest in rows}

    def _earlier(self, number: int) -> dict[str, tuple[Answer, ...]]:
        """The last answers of each device up to round `number`."""
        rows = self._db.execute(
            f"SELECT {_ANSWER} FROM (SELECT *, row_number() OVER "  # noqa: S608 - ours
            "(PARTITION BY device ORDER BY round DESC) AS age FROM answers WHERE round<=?) "
            "WHERE age<=? ORDER BY round DESC, device",
            (number, REMEMBERED),
        )
        earlier: dict[str, tuple[Answer, ...]] = {}
        for device, *rest in rows:
            earlier[device] = (*earlier.get(device, ()), _answer(*rest))
        return earlier

    def _number(self, key: str) -> int:
        value = self._get(key)
        return value if isinstance(value, int) else 0

    def _get(self, key: str) -> object:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def _put(self, key: str, value: object) -> None:
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def _write(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(sql, values)


def _answer(number: int, nonce: bytes, reason: int | None, *rest: Any) -> Answer:
    return Answer(number, nonce, None if reason is None else Reason(reason), *rest)


def _lock(directory: Path) -> int:
    """Take the directory for this process until the descriptor is closed."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RunBusyError(directory) from error
    return descriptor
