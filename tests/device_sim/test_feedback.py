"""Error feedback: nothing that training found is lost, whatever becomes of updates."""

from dataclasses import replace

import numpy as np
import pytest

from device_sim.events import Lost, Train, Trained, Unanswered, Update
from device_sim.feedback import Kept, Said, fold_back, left_out, owed
from device_sim.state import Device
from device_sim.vault import Vault
from tests.device_sim.conftest import sent
from wire.codec import CODECS
from wire.messages import Reason, Verdict

BASE = bytes(32)
BOUNDS = (0, 300, 500)


def delta(rng):
    return (rng.standard_t(3, size=500) * 0.01).astype(np.float32)


def say(owing, codec):
    data = CODECS[codec].encode(owing, BOUNDS)
    return data, CODECS[codec].decode(data, 500, BOUNDS)


@pytest.mark.parametrize("codec", [name for name, codec in CODECS.items() if codec.feedback])
def test_what_was_said_and_what_is_kept_add_up_to_what_training_found(rng, codec):
    kept, found, told = None, np.zeros(500), np.zeros(500)
    for _ in range(20):
        change = delta(rng)
        owing = owed(change, kept, BASE, BOUNDS)
        _, said = say(owing, codec)
        kept = Kept(BASE, BOUNDS, left_out(owing, said))
        found += change
        told += said
    assert np.abs(told + kept.values - found).max() < 2e-3  # float16 rounds twenty times
    assert np.linalg.norm(told) > 0.2 * np.linalg.norm(found)


def test_what_was_not_accepted_is_owed_again(rng):
    owing = delta(rng)
    data, said = say(owing, "microfed")
    kept = Kept(BASE, BOUNDS, left_out(owing, said))
    again = fold_back(kept, Said(1, b"n", "microfed", data, np.zeros(500, np.float16)))
    np.testing.assert_allclose(again.values, owing, rtol=2e-3, atol=1e-4)


def test_what_is_kept_of_another_base_file_is_not_owed(rng):
    kept = Kept(b"x" * 32, BOUNDS, delta(rng).astype(np.float16))
    change = delta(rng)
    np.testing.assert_array_equal(owed(change, kept, BASE, BOUNDS), change)


def test_nor_is_what_is_kept_of_another_choice_of_what_trains(rng):
    kept = Kept(BASE, (0, 0, 500), delta(rng).astype(np.float16))
    change = delta(rng)
    np.testing.assert_array_equal(owed(change, kept, BASE, (0, 500, 500)), change)
    assert not np.array_equal(owed(change, kept, BASE, (0, 0, 500)), change)


def test_what_float16_cannot_hold_is_held_to_its_range():
    big = left_out(np.float32([1e6, -1e6]), np.float32([0, 0]))
    np.testing.assert_array_equal(big, np.float16([65504, -65504]))


@pytest.fixture
def trained(ready, world, rng):
    """A device that has just offered an update of codec microfed, and what that owed."""
    ready.device = ready.device._replace(
        traits=replace(ready.device.traits, codecs=frozenset(CODECS))
    )
    owing = delta(rng)

    def make(number, owing=owing, bounds=BOUNDS):
        ready.hear(world.announce(number), world.task(number, codec="microfed"))
        data = CODECS["microfed"].encode(owing, bounds)
        said = CODECS["microfed"].decode(data, owing.size, bounds)
        kept = Kept(BASE, bounds, left_out(owing, said))
        update = Update(data, 5, 2.0, 1.0, kept)
        [offer] = sent(ready.feed(Trained(ready.device.job.task, update)))
        return offer, kept.values

    return ready, owing, make


def test_an_accepted_update_leaves_what_it_did_not_say_to_the_next(trained, world):
    device, _, make = trained
    offer, left = make(1)
    device.hear(Verdict(1, offer.nonce, Reason.ACCEPTED))
    assert device.device.said == ()
    device.hear(world.announce(2), world.task(2, codec="microfed"))
    np.testing.assert_array_equal(device.did(Train)[-1].kept.values, left)


@pytest.mark.parametrize("reason", [Reason.LATE, Reason.OUT_OF_RANGE, Reason.STALE])
def test_all_of_a_refused_update_is_owed_again(trained, reason):
    device, owing, make = trained
    offer, _ = make(1)
    device.hear(Verdict(1, offer.nonce, reason))
    np.testing.assert_allclose(device.device.kept.values, owing, rtol=2e-3, atol=1e-4)
    assert device.device.said == ()


def test_a_refusal_that_comes_when_the_next_update_is_out_is_made_up_for(trained):
    device, owing, make = trained
    first, left = make(1)
    _, left_then = make(2)
    assert len(device.device.said) == 2
    device.hear(Verdict(1, first.nonce, Reason.LATE))
    np.testing.assert_allclose(
        device.device.kept.values, left_then + (owing - left), rtol=2e-3, atol=1e-4
    )
    assert [said.round for said in device.device.said] == [2]


def test_a_refusal_of_what_another_choice_trained_adds_nothing_to_what_this_one_keeps(trained):
    """Its values are of other parameters, and of another number."""
    device, owing, make = trained
    first, _ = make(1)
    offer, left = make(2, owing[:100], (0, 0, 100))
    assert [said.round for said in device.device.said] == [2]
    device.hear(Verdict(1, first.nonce, Reason.LATE))
    np.testing.assert_array_equal(device.device.kept.values, left)
    device.hear(Verdict(2, offer.nonce, Reason.LATE))
    np.testing.assert_allclose(device.device.kept.values, owing[:100], rtol=2e-3, atol=1e-4)


def test_what_is_kept_survives_a_reboot_and_a_verdict_counts_after_it(trained):
    device, owing, make = trained
    offer, left = make(1)
    device.feed(Lost())
    device.connect()
    np.testing.assert_array_equal(device.device.kept.values, left)
    device.hear(Verdict(1, offer.nonce, Reason.LATE))
    np.testing.assert_allclose(device.device.kept.values, owing, rtol=2e-3, atol=1e-4)


def test_what_nobody_answered_is_owed_again(trained):
    device, _, make = trained
    for number in range(1, 8):
        make(number)
    assert device.did(Unanswered)
    assert len(device.device.said) == len(device.device.unsettled) + 1


def test_a_vault_gives_back_what_was_kept_and_said(tmp_path, trained):
    device, _, make = trained
    make(1)
    make(2)
    Vault(tmp_path / "new").save("dev-1", device.device.kept, device.device.said)
    kept, said = Vault(tmp_path / "new").load("dev-1")
    assert (kept.base, kept.bounds) == (BASE, BOUNDS)
    np.testing.assert_array_equal(kept.values, device.device.kept.values)
    assert [s[:4] for s in said] == [s[:4] for s in device.device.said]
    for one, other in zip(said, device.device.said, strict=True):
        np.testing.assert_array_equal(one.before, other.before)
    assert Vault(tmp_path / "new").load("dev-2") == (None, ())


def test_an_update_that_is_made_again_after_a_loss_of_power_begins_where_it_began(trained, world):
    device, _, make = trained
    offer, _ = make(1)
    device.hear(Verdict(1, offer.nonce, Reason.ACCEPTED))
    before = device.device.kept.values
    make(2)
    memory = {"kept": device.device.kept, "said": device.device.said}
    device.device = Device(device.device.traits, model=device.device.model, **memory)
    device.connect()
    device.hear(world.announce(2), world.task(2, codec="microfed"))
    np.testing.assert_array_equal(device.did(Train)[-1].kept.values, before)


def test_a_verdict_on_an_update_of_before_a_loss_of_power_is_heard(trained):
    device, _, make = trained
    offer, left = make(1)
    device.device = Device(device.device.traits, kept=device.device.kept, said=device.device.said)
    device.connect()
    device.hear(Verdict(1, offer.nonce, Reason.ACCEPTED))
    assert device.device.said == ()
    np.testing.assert_array_equal(device.device.kept.values, left)
