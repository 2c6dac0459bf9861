"""What a device does with an update until there is a verdict on it."""

from dataclasses import replace

from device_sim.events import Judged, Leave, Lost, Publish, Stop, Tick, Train, Unanswered
from device_sim.state import nonce_of
from tests.device_sim.conftest import verdict_on
from wire.messages import Hello, Need, Offer, Phase, Presence, Reason, Status


def test_a_large_update_is_served_in_blocks(ready, world):
    ready.hear(world.task())
    update = bytes(range(256)) * 3
    [offer] = ready.train(update)
    assert offer.data == b""
    blocks = ready.hear(Need(offer.manifest.id, 200, 1, b"\x05"))
    assert [(b.index, b.total, b.data) for b in blocks] == [
        (1, 4, update[200:400]),
        (3, 4, update[600:]),
    ]


def test_an_offer_is_repeated_unchanged_until_there_is_a_verdict(ready, world):
    ready.hear(world.task())
    [offer] = ready.train()
    assert ready.wait() == [offer]
    assert ready.hear(world.task()) == [offer]
    ready.feed(Lost())
    ready.connect()
    assert ready.wait() == [offer]
    ready.hear(verdict_on(offer))
    ready.feed(Tick())
    assert ready.hear(world.task()) == []
    assert ready.refusals == ["task: repeated"]
    assert len(ready.did(Train)) == 1


def test_a_verdict_counts_once(ready, world):
    ready.hear(world.task())
    [offer] = ready.train()
    ready.hear(verdict_on(offer), verdict_on(offer))
    assert len(ready.did(Judged)) == 1
    assert ready.refusals == ["verdict: nothing to judge"]


def test_a_refused_update_is_not_offered_again(ready, world):
    ready.hear(world.task())
    [offer] = ready.train()
    ready.hear(verdict_on(offer, Reason.LATE))
    assert ready.did(Judged) == [Judged(1, offer.nonce, Reason.LATE)]
    assert ready.device.wake is None


def test_an_update_that_is_ready_while_offline_is_offered_after_the_reconnect(ready, world):
    ready.hear(world.task())
    ready.feed(Lost())
    assert ready.train() == []
    assert [type(m) for m in ready.connect()] == [Presence, Hello]
    [offer] = ready.wait()
    assert (offer.round, offer.data) == (1, b"update")


def test_a_late_verdict_is_heard_though_the_next_round_has_begun(ready, world):
    ready.hear(world.task(1))
    [offer] = ready.train()
    bare = replace(offer, data=b"")
    assert ready.hear(world.task(2)) == [bare]
    assert ready.wait() == [bare]
    ready.hear(verdict_on(offer))
    assert ready.did(Judged) == [Judged(1, offer.nonce, Reason.ACCEPTED)]
    assert ready.device.unsettled == ()


def test_a_device_that_was_away_at_the_end_still_asks_for_its_verdict(ready, world):
    ready.hear(world.task(1))
    [offer] = ready.train()
    ready.hear(world.announce(1, Phase.FINISHED))
    ready.feed(Lost())
    ready.now += 60
    assert ready.connect()[-1] == replace(offer, data=b"")
    ready.feed(Tick())
    assert ready.did(Leave) == []
    ready.hear(verdict_on(offer))
    assert ready.did(Leave) == [Leave()]


def test_an_offer_is_not_repeated_while_its_blocks_are_being_asked_for(ready, world):
    ready.hear(world.task())
    [offer] = ready.train(bytes(1000))
    for index in range(3):
        ready.now += 1.5
        [block] = ready.hear(Need(offer.manifest.id, 256, index, b"\x01"))
        assert block.index == index
        assert ready.feed(Tick()) == []
    assert ready.wait() == [offer]


def test_only_a_few_unanswered_offers_are_remembered_and_the_rest_is_reported(ready, world):
    for number in range(1, 8):
        ready.hear(world.task(number))
        ready.train()
    assert [offer.round for offer in ready.device.unsettled] == [3, 4, 5, 6]
    assert [effect.round for effect in ready.did(Unanswered)] == [1, 2]
    ready.feed(Stop())
    assert [effect.round for effect in ready.did(Unanswered)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_device_hears_the_last_verdict_before_it_leaves(ready, world):
    ready.hear(world.task(1))
    [offer] = ready.train()
    assert ready.hear(world.announce(1, Phase.FINISHED)) == [replace(offer, data=b"")]
    assert ready.did(Leave) == []
    assert ready.hear(verdict_on(offer)) == [Presence(1, Status.SLEEPING)]
    assert ready.did(Leave) == [Leave()]


def test_a_device_leaves_though_nobody_answers(ready, world):
    ready.hear(world.task(1))
    ready.train()
    ready.hear(world.announce(1, Phase.FINISHED))
    start = ready.now
    while not ready.did(Leave):
        ready.wait()
    assert ready.now - start == 3
    [offer, *_] = [e.message for e in ready.did(Publish) if isinstance(e.message, Offer)]
    assert ready.did(Unanswered) == [Unanswered(1, offer.nonce)]


def test_blocks_larger_than_the_buffer_are_not_served(ready, world):
    ready.hear(world.task())
    [offer] = ready.train(bytes(1000))
    assert ready.hear(Need(offer.manifest.id, 257, 0, b"\x01")) == []
    assert ready.refusals == ["need: block too large"]


def test_the_same_task_gives_the_same_nonce_and_another_device_another(world):
    task = world.task(3)
    assert nonce_of("a", task) == nonce_of("a", replace(task, objects=(world.base,), deadline=1))
    names = {nonce_of("a", task), nonce_of("b", task), nonce_of("a", replace(task, seed=8))}
    assert len(names) == 3
