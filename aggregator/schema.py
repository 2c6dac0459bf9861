"""What a run writes down: the nouns, and the tables of state.sqlite that hold them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.round import Answer
from aggregator.versions import Model
from tflite_models.parameters import Weights

STORE_NAME = "state.sqlite"
SCHEMA_VERSION = 3

# answers.reason: wire.messages.Reason as a number; NULL is a decline.
# answers.payload: only while its round is open, and only if it was accepted.
# master: the latest version only, in float64; rule is the rule's state, `parts` arrays long.
# versions.codes: uint32, of numbers in zigzag (0, -1, 1, -2 …), the first bytes of all, then the
# second ones, the third and the fourth, deflated; versions.scales: float32.  Both little-endian.
# rounds.bytes_*: MQTT payload bytes since the run began, when the round ended.
# traffic: the same by device, of those that were known when they were sent.
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
    version INTEGER PRIMARY KEY, codes BLOB NOT NULL, scales BLOB NOT NULL, accuracy REAL NOT NULL
);
CREATE TABLE master (
    id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL REFERENCES versions,
    weights BLOB NOT NULL, parts INTEGER NOT NULL, rule BLOB NOT NULL
);
CREATE TABLE rounds (
    number INTEGER PRIMARY KEY, version INTEGER NOT NULL REFERENCES versions,
    cohort TEXT NOT NULL, quorum INTEGER NOT NULL, stage TEXT NOT NULL,
    loss_before REAL, loss_after REAL, seconds REAL,
    bytes_up INTEGER, bytes_down INTEGER
);
CREATE TABLE answers (
    round INTEGER NOT NULL REFERENCES rounds, device TEXT NOT NULL, nonce BLOB NOT NULL,
    reason INTEGER, samples INTEGER NOT NULL, loss_before REAL NOT NULL, loss_after REAL NOT NULL,
    payload BLOB,
    PRIMARY KEY (round, device)
) WITHOUT ROWID;
CREATE TABLE refusals (
    device TEXT NOT NULL, reason INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (device, reason)
) WITHOUT ROWID;
CREATE TABLE traffic (
    device TEXT PRIMARY KEY, bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """A round as it was opened."""

    number: int
    version: int
    cohort: tuple[str, ...]
    quorum: int


@dataclass(frozen=True, slots=True)
class Totals:
    """MQTT payload bytes: since the run began, unless it says otherwise."""

    bytes_up: int = 0
    bytes_down: int = 0

    def __add__(self, more: Totals) -> Totals:
        return Totals(self.bytes_up + more.bytes_up, self.bytes_down + more.bytes_down)


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of a round adds to the record."""

    loss_before: float
    loss_after: float
    seconds: float
    totals: Totals


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """What a run needs to go on."""

    model: Model
    number: int  # of the last round that was opened
    open: Opened | None  # that round, if it was never closed or abandoned
    answers: Mapping[str, Answer]  # in the open round
    earlier: Mapping[str, tuple[Answer, ...]]  # each device's last before it, newest first
    totals: Totals


def codes_as_row(codes: NDArray[np.int32]) -> bytes:
    """The codes of a version as a row of `versions` has them.

    Most are small: three of the four planes are runs of zeros, and the first is noise, in
    which a search for more than runs finds nothing.
    """
    zigzag = ((codes << 1) ^ (codes >> 31)).astype("<u4")
    planes = zlib.compressobj(strategy=zlib.Z_RLE)
    return planes.compress(zigzag.view(np.uint8).reshape(-1, 4).T.tobytes()) + planes.flush()


def weights_from(codes: bytes, scales: bytes) -> Weights:
    """A version as a row of `versions` has it."""
    planes = np.frombuffer(zlib.decompress(codes), np.uint8).reshape(4, -1)
    zigzag = np.ascontiguousarray(planes.T).view("<u4").reshape(-1)
    found = ((zigzag >> 1) ^ -(zigzag & 1)).astype(np.int32)
    return Weights(found, np.frombuffer(scales, "<f4").astype(np.float32))
