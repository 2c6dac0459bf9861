"""The nouns that a report draws: what one run was asked to do, and what became of it.

Importing this module costs nothing; whoever ran the rounds fills a RunRecord
and `report.render` turns it into a page.

Units: sizes are bytes (MQTT payload bytes where they crossed the broker),
times are seconds, accuracies and sparsities are shares between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RoundPoint:
    """One closed round: what the cohort answered, and the model that came of it."""

    number: int  # counts from 1
    accuracy: float  # of the int8 file on the test share, after this round
    loss_before: float  # mean over the accepted updates, weighted by samples
    loss_after: float  # the same after local training, on the same local samples
    cohort: int  # devices chosen
    accepted: int  # of them, with an update that was counted
    declined: int  # of them, that said they will not take part
    seconds: float
    bytes_up: int  # from devices, in this round alone
    bytes_down: int

    @property
    def silent(self) -> int:
        """Chosen devices from which neither an accepted update nor a refusal came."""
        return max(0, self.cohort - self.accepted - self.declined)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A device that was real firmware on an emulated board."""

    board: str
    ram: int  # with the stack that was used
    instructions: int  # of one training, the mean
    restarts: int


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device: the data it trained on and what it sent."""

    id: str
    samples: int
    labels: tuple[int, ...]  # samples of each class as in RunRecord.classes; empty: unknown
    accepted: int  # rounds in which its update was counted
    bytes_up: int
    bytes_down: int
    node: NodeFacts | None = None  # None: it was simulated


@dataclass(frozen=True, slots=True)
class BuildStage:
    """One step of the build, with the size of the model if it were shipped there."""

    name: str
    accuracy: float
    sparsity: float
    bytes: int
    bytes_gzip: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Bytes of the whole run, block headers and control messages included."""

    bytes_up: int
    bytes_down: int
    bytes_up_float32: int  # the same accepted updates as raw float32


@dataclass(frozen=True, slots=True)
class EnergySpent:
    """Joules of all devices together, estimated for one kind of board and link."""

    board: str
    link: str
    joules: Mapping[str, float]  # what they were spent on -> joules
    devices: int
    lacking: Mapping[str, str] = field(default_factory=dict)  # what is not estimated, and why
    measured: bool = False  # whether instructions were counted in QEMU, or taken from a fit

    @property
    def total(self) -> float:
        """All that is known."""
        return sum(joules for name, joules in self.joules.items() if name not in self.lacking)

    @property
    def each(self) -> float:
        """Joules of a device, on average."""
        return self.total / max(1, self.devices)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the int8 file is made of and what it asks of a board."""

    operators: tuple[str, ...]  # in graph order
    parameters: int
    bytes: int
    sparsity: float  # share of the weights that are exactly zero
    peak_ram: int | None = None  # tensors alive at once under the best plan


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A whole run.  What a run does not have is None or empty, and the report says so."""

    name: str
    started: datetime  # with its time zone
    seconds: float
    config: str  # the settings as TOML
    accuracy_start: float
    accuracy_end: float
    accuracy_best: float
    rounds: tuple[RoundPoint, ...]
    totals: Totals
    model: ModelFacts
    versions: Mapping[str, str]  # package or part -> version
    accuracy_central: float | None = None  # the same network trained on all data in one place
    refusals: Mapping[str, int] = field(default_factory=dict)  # wire.messages.Reason name -> count
    classes: tuple[str, ...] = ()
    devices: tuple[DeviceRow, ...] = ()
    stages: tuple[BuildStage, ...] = ()  # in the order of the build
    abandoned: int = 0  # rounds that ended below their quorum and changed nothing
    energy: EnergySpent | None = None  # None: nobody counted

    @property
    def updates(self) -> int:
        """Updates that were counted, over all rounds."""
        return sum(r.accepted for r in self.rounds)

    @property
    def joules_per_point(self) -> float | None:
        """Joules of the fleet for each point of accuracy won; None: none was, or nobody counted."""
        gained = 100 * (self.accuracy_end - self.accuracy_start)
        if self.energy is None or "training" in self.energy.lacking or gained <= 0:
            return None
        return self.energy.total / gained
