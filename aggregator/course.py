"""The course of a run: which round is next, and what a finished one makes of the model.

Writes every step to the store before it returns; when that is committed, who is
told, and how, is the coordinator's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aggregator.accumulate import Accumulator, Plausible, plausible
from aggregator.errors import QuorumLostError
from aggregator.muster import Muster
from aggregator.records import RoundRecord
from aggregator.round import (
    Effect,
    RoundState,
    Stage,
    Terms,
    mean_losses,
    no_round,
    open_round,
    resume_round,
)
from aggregator.rules import rule_of
from aggregator.schema import Ending, Loaded, Opened, Totals
from aggregator.selection import Candidates, cohort_size, quorum_size, task_seed
from aggregator.settings import FederatedSettings
from aggregator.store import Store
from aggregator.versions import Model, Versions
from wire.codec import CODECS
from wire.messages import Manifest, Recipe, Task
from wire.settings import WireSettings
from wire.topics import Topics

MOST_ABANDONED = 3  # rounds in a row
SLACK_BYTES = 1024  # an update may be this much larger than raw float32


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run was asked to do."""

    settings: FederatedSettings
    wire: WireSettings
    wanted: int  # devices that are waited for
    seed: int


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """A run, and what it is made of."""

    plan: Plan
    topics: Topics
    versions: Versions
    store: Store
    loaded: Loaded  # where it stands
    # Hears of every round's end, once it is on disk; the next has begun by then.
    on_round: Callable[[RoundRecord], None]


@dataclass(frozen=True, eq=False, slots=True)
class Made:
    """A new version, and its accuracy: the last one evaluated where it is not."""

    model: Model
    accuracy: float


class Course:
    """The model as it stands, and the sum of the round that will move it."""

    def __init__(self, run: Run, now: float) -> None:
        plan, loaded = run.plan, run.loaded
        self._settings = settings = plan.settings
        self._seed = plan.seed
        self._versions = run.versions
        self._store = store = run.store
        self._rule = rule_of(settings)
        self.codec = CODECS[plan.wire.codec]
        self._budget = plan.wire.budget_bytes
        self._muster = Muster(plan.wanted, settings.deadline, begun=loaded.number > 0, now=now)
        self.model = loaded.model
        self.accuracy = store.accuracies()[loaded.model.version]
        self._accumulator = Accumulator(0, 0)
        self._opened_at = now
        self._abandoned = 0
        self.making = False  # a round has closed, its version is not made yet
        self.failure: QuorumLostError | None = None

    @property
    def finished(self) -> bool:
        """True when all rounds that were asked for have closed."""
        return self.model.version >= self._settings.rounds

    def ready(self, before: RoundState, online: int, now: float) -> bool:
        """Whether it is time to open the next round, with as many devices there."""
        if before.stage is Stage.OPEN or self.making or self.finished or self.failure:
            return False
        return self._muster.ready(online, now)

    def next_round(
        self, before: RoundState, here: Candidates, now: float
    ) -> tuple[RoundState, tuple[Effect, ...]]:
        """Open the next round with a cohort of the devices that are there."""
        number, settings = before.terms.number + 1, self._settings
        size = cohort_size(settings.cohort, len(here))
        cohort = here.choose(size, self._seed, number)
        quorum = quorum_size(settings.quorum, size)
        opened = Opened(number, self.model.version, cohort, quorum)
        self._store.open_round(opened)
        return self._open(before, opened, now)

    def resume(self, loaded: Loaded, now: float) -> tuple[RoundState, tuple[Effect, ...]]:
        """The round that was open when the run was stopped, with the answers it had."""
        before = no_round(loaded.number, loaded.earlier)
        if loaded.open is None:
            return before, ()
        state, _ = self._open(before, loaded.open, now)
        for device, payload in self._store.payloads(loaded.number):
            delta = self.codec.decode(payload, self._versions.size, self._versions.bounds)
            self.add(plausible(delta), loaded.answers[device].samples)
        return resume_round(state, loaded.answers)

    def add(self, delta: Plausible, samples: int) -> None:
        """Take an update into the sum."""
        self._accumulator.add(delta, samples)

    @property
    def evaluates(self) -> bool:
        """Whether the version that is made next is one to evaluate."""
        number = self.model.version + 1
        return number >= self._settings.rounds or number % self._settings.evaluate_every == 0

    def close(self) -> None:
        """Take no more updates: `make` is to be called."""
        self.making = True

    def make(self, evaluate: Callable[[bytes], float]) -> Made:
        """The next version from a closed round.  Slow, and changes nothing here."""
        model = self._versions.advance(self.model, self._accumulator.mean(), self._rule)
        if not self.evaluates:
            return Made(model, self.accuracy)
        return Made(model, evaluate(self._versions.file(model.weights)))

    def made(self, made: Made, state: RoundState, totals: Totals, now: float) -> RoundRecord:
        """Write the new version and the end of its round."""
        ending = self._ending(state, totals, now)
        self._store.close_round(state.terms.number, ending, made.model, made.accuracy)
        self.model, self.accuracy = made.model, made.accuracy
        self._versions.keep(made.model)
        self.making, self._abandoned = False, 0
        return self._record(state, ending)

    def abandon(self, state: RoundState, totals: Totals, now: float) -> RoundRecord:
        """Write that a round came to nothing; too many in a row are a failure."""
        ending = self._ending(state, totals, now)
        self._store.abandon_round(state.terms.number, ending)
        self._abandoned += 1
        if self._abandoned >= MOST_ABANDONED:
            terms = state.terms
            self.failure = QuorumLostError(
                self._abandoned, terms.number, state.accepted, terms.quorum
            )
        return self._record(state, ending)

    def task(
        self, state: RoundState, objects: tuple[Manifest, ...], seconds: int, data: bytes
    ) -> Task:
        """What a member of the round is asked to do; `data`: the objects, if they ride along."""
        settings, terms = self._settings, state.terms
        recipe = recipe_of(settings, terms.version, terms.trains)
        return Task(
            round=terms.number,
            version=terms.version,
            base=self._versions.digest,
            recipe=recipe,
            codec=terms.codec,
            seed=task_seed(self._seed, terms.number),
            deadline=seconds,
            objects=objects,
            check=terms.check,
            budget=self._budget,
            data=data,
        )

    def _open(
        self, before: RoundState, opened: Opened, now: float
    ) -> tuple[RoundState, tuple[Effect, ...]]:
        terms = Terms(
            opened.number,
            opened.version,
            frozenset(opened.cohort),
            opened.quorum,
            self._settings.deadline,
            self.codec.name,
            4 * self._versions.size + SLACK_BYTES,
            self._versions.check(opened.version),
            self._versions.trains,
        )
        self._opened_at = now
        self._accumulator = Accumulator(self._versions.size, len(opened.cohort))
        return open_round(before, terms, now, self._settings.max_devices)

    def _ending(self, state: RoundState, totals: Totals, now: float) -> Ending:
        self._muster.restart(now)
        before, after = mean_losses(state.answers)
        return Ending(before, after, now - self._opened_at, totals)

    def _record(self, state: RoundState, ending: Ending) -> RoundRecord:
        return RoundRecord(
            number=state.terms.number,
            version=self.model.version,
            accuracy=self.accuracy,
            abandoned=state.stage is Stage.ABANDONED,
            cohort=len(state.terms.cohort),
            accepted=state.accepted,
            declined=sum(answer.reason is None for answer in state.answers.values()),
            loss_before=ending.loss_before,
            loss_after=ending.loss_after,
            seconds=ending.seconds,
            bytes_up=ending.totals.bytes_up,
            bytes_down=ending.totals.bytes_down,
        )


def recipe_of(settings: FederatedSettings, version: int, trains: bytes = b"") -> Recipe:
    """How devices train from a version; `trains`: the tensors that do, empty for all."""
    return Recipe(
        epochs=settings.epochs,
        batch=settings.batch,
        learning_rate=settings.learning_rate * settings.decay**version,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        proximal=settings.proximal,
        clip_norm=settings.clip_norm,
        rotation=settings.rotation,
        fake_quantize=int(settings.fake_quantize),
        trains=trains,
    )
