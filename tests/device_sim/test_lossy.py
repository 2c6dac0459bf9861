"""A device and a scripted aggregator over a link that loses, repeats and reorders messages."""

import heapq
import random
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.events import (
    Connected,
    Judged,
    Leave,
    Lost,
    Publish,
    Received,
    Tick,
    Topic,
    Train,
    Trained,
    Unanswered,
    Update,
)
from wire.cbor import decode, encode
from wire.messages import Announce, Reason

ROUNDS = 3
PATIENCE = 20_000  # simulated seconds


class Journey:
    """Simulated time: what is under way, and when it arrives."""

    def __init__(self, bench, script, rng, loss, flaky, size):
        self.bench, self.script, self.rng = bench, script, rng
        self.loss, self.flaky, self.size = loss, flaky, size
        self.queue, self.count, self.session = [], 0, 0
        self.announced_at = 0.0

    def at(self, when, act):
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, act))

    def send(self, act):
        """Carry a message: late, twice, or never."""
        for _ in range(self.rng.choice([1, 1, 1, 2])):
            if self.rng.random() >= self.loss:
                self.at(self.bench.now + self.rng.uniform(0, 1), act)

    def down(self, message):
        session, payload = self.session, encode(message)
        event = Received(Topic.DOWN, payload)
        if isinstance(message, Announce):  # retained: the broker keeps it, in order
            event = Received(Topic.ANNOUNCE, payload)
            self.announced_at = max(self.announced_at, self.bench.now) + self.rng.uniform(0, 1)
            self.at(self.announced_at, lambda: self.arrive(session, event))
        else:
            self.send(lambda: self.arrive(session, event))

    def arrive(self, session, event):
        if session == self.session and self.bench.device.online:
            self.feed(event)

    def feed(self, event):
        for effect in self.bench.feed(event):
            if isinstance(effect, Publish) and effect.topic is Topic.UP:
                self.send(partial(self.up, encode(effect.message)))
            elif isinstance(effect, Train):
                data = random.Random(effect.task.round).randbytes(self.size)
                done = Trained(effect.task, Update(data, 5, 2.0, 1.0))
                self.at(self.bench.now + self.rng.uniform(0, 5), partial(self.feed, done))

    def up(self, payload):
        for _, answer in self.script.hear("dev-1", decode(payload)):
            self.down(answer)

    def connect(self):
        self.session += 1
        self.feed(Connected())
        self.down(self.script.announce())
        if self.flaky:
            self.at(self.bench.now + self.rng.expovariate(1 / 15), self.drop)

    def drop(self):
        self.feed(Lost())
        self.at(self.bench.now + self.rng.uniform(0, 10), self.connect)

    def run(self):
        bench = self.bench
        self.connect()
        while not bench.device.left:
            wake = bench.device.wake
            if wake is not None and (not self.queue or wake <= self.queue[0][0]):
                bench.now = max(bench.now, wake)
                self.feed(Tick())
            else:
                when, _, act = heapq.heappop(self.queue)
                bench.now = max(bench.now, when)
                act()
            assert bench.now < PATIENCE, "stuck"


@settings(max_examples=150)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.booleans(),
    st.sampled_from([100, 256, 3000]),
)
def run_anyhow(bench_of, script_of, seed, loss, flaky, size):
    bench = bench_of()
    bench.feed(Lost())
    script = script_of(["dev-1"], rounds=ROUNDS)
    bench.now = 0.0
    Journey(bench, script, random.Random(seed), loss, flaky, size).run()
    expected = {r: random.Random(r).randbytes(size) for r in range(1, ROUNDS + 1)}
    assert {number: data for (_, number, _), (_, data) in script.taken.items()} == expected
    judged = [(j.round, j.nonce) for j in bench.did(Judged) if j.reason is Reason.ACCEPTED]
    assert len(judged) == len(set(judged))
    assert {("dev-1", *name) for name in judged} <= set(script.taken)
    unanswered = {(u.round, u.nonce) for u in bench.did(Unanswered)}
    assert {("dev-1", *name) for name in unanswered | set(judged)} >= set(script.taken)
    if not loss and not flaky:
        assert len(judged) == ROUNDS
    assert len(bench.did(Leave)) == 1


def test_every_round_ends_with_exactly_one_accepted_update_whatever_the_link_does(bench, script):
    run_anyhow(bench, script)
