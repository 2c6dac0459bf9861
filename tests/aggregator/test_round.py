from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.intake import Content
from aggregator.round import (
    Abandon,
    Answer,
    BadMessage,
    Close,
    Count,
    Fetch,
    FromDevice,
    Invite,
    Judged,
    Persist,
    Send,
    Stage,
    Terms,
    Tick,
    mean_losses,
    no_round,
    open_round,
    resume_round,
    step,
)
from wire.messages import Decline, Hello, Kind, Manifest, Offer, Reason, Refusal, Verdict

TERMS = Terms(
    number=4, version=3, cohort=frozenset("abc"), quorum=2, deadline=60.0, codec="int8", most=1000
)
GOOD = Content(b"update", np.zeros(1, np.float32))


def opened(terms=TERMS, before=None):
    state, _ = open_round(before or no_round(3, {}), terms, 100.0, 1000)
    return state


def offer(nonce=b"nonce--1", **fields):
    manifest = Manifest(Kind.UPDATE, 6, bytes(32))
    return replace(Offer(4, nonce, 3, "int8", 10, 2.0, 1.0, manifest, b"update"), **fields)


def play(state, *events, now=101.0):
    done = []
    for event in events:
        state, effects = step(state, event, now)
        done += effects
    return state, done


def accept(device, nonce=b"nonce--1", **fields):
    return Judged(device, offer(nonce, **fields), GOOD)


def told(device, reason, nonce=b"nonce--1", number=4):
    return Send(device, Verdict(number, nonce, reason))


def test_an_open_round_invites_its_cohort():
    _, effects = open_round(no_round(0, {}), TERMS, 0.0, 1000)
    assert effects == (Invite("a"), Invite("b"), Invite("c"))


def test_an_offer_is_fetched_then_written_then_confirmed():
    state, effects = play(opened(), FromDevice("a", offer()))
    assert effects == [Fetch("a", offer())]
    state, effects = play(state, accept("a"))
    answer = Answer(4, b"nonce--1", Reason.ACCEPTED, 10, 2.0, 1.0)
    assert effects == [Persist("a", answer, GOOD), told("a", Reason.ACCEPTED)]
    assert (state.accepted, state.stage) == (1, Stage.OPEN)


def test_a_round_closes_when_all_have_answered():
    state, effects = play(
        opened(), accept("a"), FromDevice("b", Decline(4, Refusal.BATTERY)), accept("c")
    )
    assert effects[-1] == Close()
    assert effects.count(Close()) == 1
    assert state.stage is Stage.CLOSED


def test_a_round_closes_at_its_deadline_with_a_quorum():
    state, effects = play(opened(), accept("a"), accept("b"))
    assert Close() not in effects
    state, effects = play(state, Tick(), now=159.9)
    assert effects == []
    state, effects = play(state, Tick(), Tick(), now=160.0)
    assert (state.stage, effects) == (Stage.CLOSED, [Close()])


def test_a_round_below_its_quorum_is_abandoned_at_the_deadline():
    state, effects = play(opened(), accept("a"))
    state, effects = play(state, Tick(), Tick(), now=160.0)
    assert (state.stage, effects) == (Stage.ABANDONED, [Abandon()])


def test_a_round_that_too_many_decline_waits_for_its_deadline():
    events = [FromDevice(d, Decline(4, Refusal.NO_DATA)) for d in "ab"]
    state, effects = play(opened(), *events, accept("c"))
    assert state.stage is Stage.OPEN
    _, effects = play(state, Tick(), now=160.0)
    assert effects == [Abandon()]


def test_a_member_that_comes_back_is_invited_again_until_it_has_answered():
    hello = Hello(2, 1, 1024, 10, "test")
    assert play(opened(), FromDevice("a", hello))[1] == [Invite("a")]
    assert play(opened(), FromDevice("x", hello))[1] == []
    state, _ = play(opened(), accept("a"))
    assert play(state, FromDevice("a", hello))[1] == [told("a", Reason.ACCEPTED)]


def test_a_device_that_says_hello_hears_its_newest_verdict_again_and_then_of_its_task():
    hello = FromDevice("a", Hello(2, 1, 1024, 10, "test"))
    state, _ = play(opened(), accept("a"), accept("b"), accept("c"))
    state = opened(replace(TERMS, number=5), state)
    assert play(state, hello)[1] == [told("a", Reason.ACCEPTED), Invite("a")]
    state, _ = play(state, FromDevice("a", Decline(5, Refusal.BATTERY)))
    assert play(state, hello)[1] == [told("a", Reason.ACCEPTED)]
    state = opened(replace(TERMS, number=6), state)
    assert play(state, hello)[1] == [told("a", Reason.ACCEPTED), Invite("a")]


def test_the_verdicts_of_a_few_earlier_rounds_are_remembered():
    state = opened()
    for number in range(4, 10):
        state = opened(replace(TERMS, number=number), state)
        mine = offer(b"nonce--%d" % number, round=number)
        state, _ = play(state, Judged("a", mine, GOOD))
    verdicts = [
        play(state, FromDevice("a", offer(b"nonce--%d" % number, round=number)))[1][-1].message
        for number in range(4, 10)
    ]
    assert [v.reason for v in verdicts] == [Reason.LATE] + 5 * [Reason.ACCEPTED]


@pytest.mark.parametrize(
    ("device", "spoilt", "reason"),
    [
        ("a", {"round": 3}, Reason.LATE),
        ("a", {"round": 5}, Reason.MALFORMED),
        ("x", {}, Reason.FOREIGN),
        ("a", {"version": 2}, Reason.STALE),
        ("a", {"version": 4}, Reason.STALE),
        ("a", {"check": 1}, Reason.STALE),
        ("a", {"codec": "float32"}, Reason.UNSUPPORTED),
        ("a", {"trains": b"\x30"}, Reason.UNSUPPORTED),
        ("a", {"manifest": Manifest(Kind.UPDATE, 1001, bytes(32)), "data": b""}, Reason.TOO_LARGE),
        ("a", {"manifest": Manifest(Kind.BASE, 6, bytes(32))}, Reason.MALFORMED),
        ("a", {"manifest": Manifest(Kind.UPDATE, 7, bytes(32))}, Reason.MALFORMED),
    ],
)
def test_an_offer_that_does_not_fit_is_refused_counted_and_told(device, spoilt, reason):
    state = opened()
    after, effects = play(state, FromDevice(device, offer(**spoilt)))
    assert effects == [
        Count(device, reason),
        told(device, reason, number=spoilt.get("round", 4)),
    ]
    assert after == state


@pytest.mark.parametrize("reason", [Reason.CORRUPT, Reason.MALFORMED, Reason.OUT_OF_RANGE])
def test_an_update_that_was_fetched_and_found_bad_is_an_answer_without_effect(reason):
    state, effects = play(opened(), Judged("a", offer(), reason))
    assert effects[0] == Count("a", reason)
    assert isinstance(effects[1], Persist)
    assert effects[1].content is None
    assert effects[2] == told("a", reason)
    assert state.accepted == 0
    state, effects = play(state, FromDevice("a", offer()))
    assert effects == [Count("a", Reason.DUPLICATE), told("a", reason)], "same nonce, same verdict"
    state, effects = play(state, FromDevice("a", offer(b"second-1")), accept("a", b"second-1"))
    assert state.accepted == 1, "a better one is welcome while the round is open"


def test_the_same_offer_again_gets_the_same_verdict_and_is_not_applied():
    state, _ = play(opened(), accept("a"))
    after, effects = play(state, FromDevice("a", offer()), accept("a"))
    assert effects == 2 * [Count("a", Reason.DUPLICATE), told("a", Reason.ACCEPTED)]
    assert after == state


def test_another_offer_of_a_device_that_was_accepted_is_a_duplicate():
    state, _ = play(opened(), accept("a"))
    after, effects = play(state, FromDevice("a", offer(b"second-1")))
    assert effects == [Count("a", Reason.DUPLICATE), told("a", Reason.DUPLICATE, b"second-1")]
    assert after == state


def test_an_offer_that_was_being_fetched_when_the_round_closed_is_late():
    state, _ = play(opened(), accept("a"), accept("b"))
    state, _ = play(state, Tick(), now=160.0)
    after, effects = play(state, accept("c"))
    assert effects == [Count("c", Reason.LATE), told("c", Reason.LATE)]
    assert after == state


def test_a_verdict_that_was_lost_is_repeated_in_later_rounds():
    state, _ = play(opened(), accept("a"), accept("b"), accept("c"))
    for number in (5, 6):
        state = opened(replace(TERMS, number=number, cohort=frozenset("xyz")), state)
    after, effects = play(state, FromDevice("a", offer()))
    assert effects == [Count("a", Reason.DUPLICATE), told("a", Reason.ACCEPTED)]
    _, effects = play(after, FromDevice("a", offer(b"second-1")))
    assert effects[-1] == told("a", Reason.LATE, b"second-1")


def test_no_more_answers_are_remembered_than_asked_for():
    state, _ = play(opened(), accept("a"), accept("b"), accept("c"))
    state, _ = open_round(state, replace(TERMS, number=5), 0.0, 2)
    assert set(state.earlier) == {"b", "c"}


@pytest.mark.parametrize(
    ("device", "number", "reason"), [("a", 3, Reason.LATE), ("x", 4, Reason.FOREIGN)]
)
def test_a_decline_that_does_not_fit_is_counted(device, number, reason):
    _, effects = play(opened(), FromDevice(device, Decline(number, Refusal.FAILED)))
    assert effects == [Count(device, reason)]


def test_a_bad_message_is_counted_and_changes_nothing():
    state = opened()
    after, effects = play(state, BadMessage("a", Reason.MALFORMED))
    assert (after, effects) == (state, [Count("a", Reason.MALFORMED)])


def test_before_any_round_every_offer_is_refused():
    _, effects = play(no_round(0, {}), FromDevice("a", offer()))
    assert effects[-1] == told("a", Reason.MALFORMED)
    _, effects = play(no_round(4, {}), FromDevice("a", offer()))
    assert effects[-1] == told("a", Reason.FOREIGN)


def test_mean_losses_are_weighted_by_samples_and_leave_out_who_was_not_accepted():
    answers = {
        "a": Answer(1, b"", Reason.ACCEPTED, 1, 4.0, 2.0),
        "b": Answer(1, b"", Reason.ACCEPTED, 3, 0.0, 1.0),
        "c": Answer(1, b"", Reason.CORRUPT, 9, 99.0, 99.0),
        "d": Answer(1),
    }
    assert mean_losses(answers) == (1.0, 1.25)
    assert mean_losses(dict(reversed(answers.items()))) == (1.0, 1.25)
    assert mean_losses({}) == (0.0, 0.0)


def test_a_resumed_round_stands_where_it_stood():
    state, _ = play(opened(), accept("a"), FromDevice("b", Decline(4, Refusal.BATTERY)))
    resumed, effects = resume_round(opened(), state.answers)
    assert (resumed, effects) == (state, ())
    full, _ = play(state, accept("c"))
    resumed, effects = resume_round(opened(), full.answers)
    assert (resumed, effects) == (full, (Close(),))


names = st.sampled_from("abcdx")
nonces = st.sampled_from([b"nonce--1", b"second-1"])
offers = st.builds(
    offer,
    nonces,
    round=st.sampled_from([3, 4, 4, 4, 5]),
    version=st.sampled_from([2, 3, 3, 3]),
    codec=st.sampled_from(["int8", "int8", "zip"]),
)
events = st.one_of(
    st.builds(FromDevice, names, offers),
    st.builds(Judged, names, offers, st.sampled_from([GOOD, GOOD, Reason.CORRUPT])),
    st.builds(
        FromDevice, names, st.builds(Decline, st.sampled_from([3, 4]), st.just(Refusal.FAILED))
    ),
    st.builds(FromDevice, names, st.just(Hello(1, 1, 256, 1, ""))),
    st.builds(BadMessage, names, st.just(Reason.MALFORMED)),
    st.just(Tick()),
)


@given(st.lists(st.tuples(events, st.floats(0, 8)), max_size=60))
def test_whatever_happens_each_device_is_applied_once_and_never_told_before_it_is_written(story):
    state, now = opened(replace(TERMS, cohort=frozenset("abcd"), quorum=2)), 100.0
    applied, written, endings = {}, {}, []
    for event, pause in story:
        now += pause
        was_open = state.stage is Stage.OPEN
        state, effects = step(state, event, now)
        for effect in effects:
            match effect:
                case Persist(device, answer, content):
                    assert was_open
                    assert device in state.terms.cohort
                    assert device not in applied
                    written[device] = answer
                    if content is not None:
                        applied[device] = answer.nonce
                case Send(device, Verdict(_, nonce, Reason.ACCEPTED)):
                    assert applied[device] == nonce
                case Close() | Abandon():
                    assert effect is effects[-1]
                    endings.append(effect)
                    assert isinstance(effect, Close) == (len(applied) >= 2)
    assert len(endings) == (state.stage is not Stage.OPEN)
    assert state.accepted == len(applied)
    assert dict(state.answers) == written
    if state.stage is Stage.OPEN:
        assert len(written) < 4 or len(applied) < 2
        state, effects = step(state, Tick(), 1e9)
        assert len(effects) == 1, "time closes every round"
