"""One round as a pure state machine: `step(state, event, now) -> (state, effects)`.

No clock, socket, file or randomness is in here; `now` is seconds on any clock
that does not run backwards.  The caller executes effects in their order, so a
Persist stands before the Send that tells of it.

An offer goes through here twice: as a message, which is refused or answered
with Fetch, and as Judged, when its bytes were fetched and decoded (or were
not fit to be).  What the first pass allows the second checks again, because
the round may have closed in between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from aggregator.intake import Content
from wire.messages import Decline, Hello, Kind, Offer, Reason, Verdict

REMEMBERED = 4  # answers of each device from earlier rounds
NOBODY: Mapping[str, Any] = MappingProxyType({})


class Stage(Enum):
    """Whether a round still takes updates."""

    OPEN = "open"
    CLOSED = "closed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a round asks for; fixed when it opens."""

    number: int
    version: int  # of the model that is trained from
    cohort: frozenset[str]
    quorum: int  # accepted updates
    deadline: float  # seconds
    codec: str
    most: int  # bytes of an update
    check: int = 0  # of the version
    trains: bytes = b""  # what does, as in Recipe


class Answer(NamedTuple):
    """A member's last word in a round.  A decline has neither nonce nor reason."""

    round: int
    nonce: bytes = b""
    reason: Reason | None = None
    samples: int = 0
    loss_before: float = 0.0
    loss_after: float = 0.0


class RoundState(NamedTuple):
    """A round, what its members answered, and everybody's last answers before it."""

    terms: Terms
    closes_at: float
    stage: Stage = Stage.OPEN
    answers: Mapping[str, Answer] = NOBODY
    accepted: int = 0
    earlier: Mapping[str, tuple[Answer, ...]] = NOBODY  # newest first


class FromDevice(NamedTuple):
    """A message that concerns the round."""

    device: str
    message: Hello | Offer | Decline


class BadMessage(NamedTuple):
    """Something a device sent that is not fit to be a message here."""

    device: str
    reason: Reason


class Judged(NamedTuple):
    """The bytes of an offer were fetched: good content, or why they are not."""

    device: str
    offer: Offer
    verdict: Content | Reason


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


class Invite(NamedTuple):
    """Send the device its Task."""

    device: str


class Fetch(NamedTuple):
    """Get the bytes of an offer, decode them, and come back with Judged."""

    device: str
    offer: Offer


class Persist(NamedTuple):
    """Write a member's answer; one that was accepted has content, to be added to the sum."""

    device: str
    answer: Answer
    content: Content | None = None


class Send(NamedTuple):
    """Send a verdict."""

    device: str
    message: Verdict


class Count(NamedTuple):
    """Count and log a refusal."""

    device: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Close:
    """Enough was accepted: make the next version of the model."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """The quorum was not reached: forget the round."""


Event = FromDevice | BadMessage | Judged | Tick
Effect = Invite | Fetch | Persist | Send | Count | Close | Abandon
Step = tuple[RoundState, tuple[Effect, ...]]


def no_round(number: int, earlier: Mapping[str, tuple[Answer, ...]]) -> RoundState:
    """The state before the first round (number 0), or after a restart between two."""
    terms = Terms(number, 0, frozenset(), 1, 0.0, "", 0)
    return RoundState(terms, 0.0, Stage.CLOSED, earlier=earlier)


def open_round(before: RoundState, terms: Terms, now: float, remember: int) -> Step:
    """Open the round of `terms`; the last answers of `remember` devices are kept."""
    past = dict(before.earlier)
    for device, answer in before.answers.items():
        past[device] = (answer, *past.get(device, ()))[:REMEMBERED]
    if len(past) > remember:
        latest = sorted(past.items(), key=lambda item: (item[1][0].round, item[0]))
        past = dict(latest[-remember:])
    state = RoundState(terms, now + terms.deadline, earlier=past)
    return state, tuple(Invite(device) for device in sorted(terms.cohort))


def resume_round(state: RoundState, answers: Mapping[str, Answer]) -> Step:
    """Put stored answers back into a round that was just opened again."""
    accepted = sum(answer.reason is Reason.ACCEPTED for answer in answers.values())
    return _after(state._replace(answers=answers, accepted=accepted), ())


def step(state: RoundState, event: Event, now: float) -> Step:
    """What `event` makes of the round, and what is to be done about it, in order."""
    match event:
        case FromDevice(device, Offer() as offer):
            return state, _offered(state, device, offer)
        case Judged():
            return _judged(state, event)
        case FromDevice(device, Decline() as decline):
            return _declined(state, device, decline)
        case FromDevice(device, Hello()):
            invite = (Invite(device),) if _is_wanted(state, device) else ()
            return state, (*_last_verdict(state, device), *invite)
        case BadMessage(device, reason):
            return state, (Count(device, reason),)
        case Tick():
            return _ticked(state, now)
    raise AssertionError(f"no such event: {event!r}")


def mean_losses(answers: Mapping[str, Answer]) -> tuple[float, float]:
    """Mean loss before and after local training, weighted by samples, in any order."""
    taken = [a for a in answers.values() if a.reason is Reason.ACCEPTED]
    samples = sum(a.samples for a in taken) or 1
    before = math.fsum(a.samples * a.loss_before for a in taken)
    return before / samples, math.fsum(a.samples * a.loss_after for a in taken) / samples


def _is_wanted(state: RoundState, device: str) -> bool:
    open_to = state.stage is Stage.OPEN and device in state.terms.cohort
    return open_to and device not in state.answers


def _offered(state: RoundState, device: str, offer: Offer) -> tuple[Effect, ...]:
    known = _answer_to(state, device, offer)
    if known is not None:  # said before: say it again, apply nothing
        return Count(device, Reason.DUPLICATE), _verdict(device, offer, known)
    reason = _objection(state, device, offer)
    if reason is None:
        return (Fetch(device, offer),)
    return Count(device, reason), _verdict(device, offer, reason)


def _answer_to(state: RoundState, device: str, offer: Offer) -> Reason | None:
    for answer in _answers_of(state, device):
        if (answer.round, answer.nonce) == (offer.round, offer.nonce):
            return answer.reason
    return None


def _answers_of(state: RoundState, device: str) -> tuple[Answer, ...]:
    """What is known of a device's answers, newest first."""
    answer = state.answers.get(device)
    return (*([answer] if answer else []), *state.earlier.get(device, ()))


def _last_verdict(state: RoundState, device: str) -> tuple[Send, ...]:
    """The newest verdict on a device once more: it may have been lost with a connection."""
    for answer in _answers_of(state, device):
        if answer.reason is not None:
            return (Send(device, Verdict(answer.round, answer.nonce, answer.reason)),)
    return ()


def _objection(state: RoundState, device: str, offer: Offer) -> Reason | None:
    terms = state.terms
    if offer.round != terms.number:  # a later one was never announced
        return Reason.MALFORMED if offer.round > terms.number else Reason.LATE
    if device not in terms.cohort:
        return Reason.FOREIGN
    answer = state.answers.get(device)
    if answer is not None and answer.reason is Reason.ACCEPTED:
        return Reason.DUPLICATE
    return Reason.LATE if state.stage is not Stage.OPEN else _misfit(terms, offer)


def _misfit(terms: Terms, offer: Offer) -> Reason | None:
    """Why an update is none that the round asked for, whoever offers it."""
    size = offer.manifest.size
    if (offer.version, offer.check) != (terms.version, terms.check):
        return Reason.STALE
    if (offer.codec, offer.trains) != (terms.codec, terms.trains):
        return Reason.UNSUPPORTED
    if offer.manifest.kind is not Kind.UPDATE or (offer.data and len(offer.data) != size):
        return Reason.MALFORMED
    return Reason.TOO_LARGE if size > terms.most else None


def _judged(state: RoundState, event: Judged) -> Step:
    device, offer = event.device, event.offer
    again = _offered(state, device, offer)
    if not isinstance(again[0], Fetch):  # the round went on while the bytes were fetched
        return state, again
    content = event.verdict if isinstance(event.verdict, Content) else None
    reason = event.verdict if isinstance(event.verdict, Reason) else Reason.ACCEPTED
    answer = Answer(
        offer.round, offer.nonce, reason, offer.samples, offer.loss_before, offer.loss_after
    )
    effects: tuple[Effect, ...] = (
        Persist(device, answer, content),
        Send(device, Verdict(offer.round, offer.nonce, reason)),
    )
    if content is None:
        effects = (Count(device, reason), *effects)
    return _answered(state, device, answer, effects)


def _declined(state: RoundState, device: str, decline: Decline) -> Step:
    if decline.round != state.terms.number or state.stage is not Stage.OPEN:
        return state, (Count(device, Reason.LATE),)
    if device not in state.terms.cohort:
        return state, (Count(device, Reason.FOREIGN),)
    if device in state.answers:
        return state, (Count(device, Reason.DUPLICATE),)
    answer = Answer(decline.round)
    return _answered(state, device, answer, (Persist(device, answer),))


def _answered(state: RoundState, device: str, answer: Answer, effects: tuple[Effect, ...]) -> Step:
    accepted = state.accepted + (answer.reason is Reason.ACCEPTED)
    answers = {**state.answers, device: answer}
    return _after(
        RoundState(state.terms, state.closes_at, state.stage, answers, accepted, state.earlier),
        effects,
    )


def _after(state: RoundState, effects: tuple[Effect, ...]) -> Step:
    # Too few accepted: the deadline is not only a limit, it also paces a fleet that cannot.
    waiting = len(state.answers) < len(state.terms.cohort) or state.accepted < state.terms.quorum
    return (state, effects) if waiting else _ended(state, effects)


def _ticked(state: RoundState, now: float) -> Step:
    if state.stage is not Stage.OPEN or now < state.closes_at:
        return state, ()
    return _ended(state, ())


def _ended(state: RoundState, effects: tuple[Effect, ...]) -> Step:
    if state.accepted >= state.terms.quorum:
        return state._replace(stage=Stage.CLOSED), (*effects, Close())
    return state._replace(stage=Stage.ABANDONED), (*effects, Abandon())


def _verdict(device: str, offer: Offer, reason: Reason) -> Send:
    return Send(device, Verdict(offer.round, offer.nonce, reason))
