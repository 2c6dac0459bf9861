"""What befalls a device is drawn from (seed, device) and from nothing else."""

from collections import Counter

import pytest
from pydantic import ValidationError

from device_sim.energy import Costs
from device_sim.mishap import SOON, Mishap
from device_sim.profile import Moment, fate_of_round, rng_of
from device_sim.profile import profile_of as drawn
from device_sim.settings import FleetSettings
from device_sim.state import Job
from wire.messages import Need, Offer


def profile_of(settings, rng):
    return drawn(settings, Costs.of(settings, None), rng)


def test_the_same_seed_and_device_give_the_same_profile():
    settings = FleetSettings(rate=1000.0)
    one, again = (profile_of(settings, rng_of(1, "dev-0007")) for _ in range(2))
    other = profile_of(settings, rng_of(1, "dev-0008"))
    assert one == again
    assert one.up != other.up
    # On any machine and in any version: random.Random's draws are fixed for a text seed.
    assert (round(one.up, 3), round(one.down, 3)) == (855.867, 994.003)


def test_links_are_half_to_one_and_a_half_times_the_mean():
    rates = [profile_of(FleetSettings(rate=100.0), rng_of(1, str(i))).up for i in range(500)]
    assert 50 <= min(rates) < 60
    assert 140 < max(rates) <= 150
    assert profile_of(FleetSettings(), rng_of(1, "a")).up == 0


def test_dropouts_strike_as_often_as_asked_at_every_moment_alike():
    profile, rng = profile_of(FleetSettings(dropout=0.2), rng_of(1, "a")), rng_of(2, "a")
    fates = Counter(fate_of_round(profile, rng) for _ in range(10_000))
    assert 7800 < fates.pop(None) < 8200
    assert set(fates) == set(Moment)
    assert all(400 < count < 600 for count in fates.values())


@pytest.fixture
def mishap(world):
    """mishap(moment) strikes round 1 at that moment."""

    def make(moment, objects=()):
        rng = rng_of(1, "a")
        made = Mishap(profile_of(FleetSettings(dropout=1.0), rng), rng)
        made.look(Job(world.task(objects=objects), bytes(8), 0.0))
        made._fate = moment
        return made

    return make


NEED = Need(bytes(8), 256, 0, b"\xff")


def offer(world):
    return Offer(1, bytes(8), 0, "int8", 1, 1.0, 1.0, world.base, b"")


def test_each_moment_strikes_once_and_where_it_should(mishap, world):
    before = mishap(Moment.BEFORE_OFFER)
    assert before.training() is None
    assert before.before(offer(world))
    assert not before.before(offer(world))
    after = mishap(Moment.AFTER_OFFER)
    assert not after.before(offer(world))
    assert 0 <= after.after(offer(world)) <= SOON
    assert after.after(offer(world)) is None
    training = mishap(Moment.TRAIN)
    assert training.after(NEED) is None
    assert 0 <= training.training() <= SOON


def test_a_download_is_struck_within_its_windows_or_when_training_begins(mishap, world):
    download = mishap(Moment.DOWNLOAD, (world.base,))
    struck = [download.after(NEED) is not None for _ in range(3)]
    assert struck.count(True) == 1
    nothing_to_pull = mishap(Moment.DOWNLOAD)
    assert nothing_to_pull.training() is not None


def test_a_fate_is_drawn_once_a_round(world):
    rng = rng_of(1, "a")
    mishap = Mishap(profile_of(FleetSettings(dropout=1.0), rng), rng)
    mishap.look(None)
    fates = []
    for number in (1, 1, 2, 1, 3):
        mishap.look(Job(world.task(number), bytes(8), 0.0))
        fates.append(mishap._fate)
        mishap._fate = None
    assert [fate is not None for fate in fates] == [True, False, True, False, True]


def test_a_kind_of_link_slows_nobody_but_in_the_time_of_devices():
    settings = FleetSettings(link="lte-m")
    assert profile_of(settings, rng_of(1, "a")).up == 0
    timed = profile_of(FleetSettings(link="lte-m", clock="device"), rng_of(1, "a"))
    assert 20_000 < timed.up < 70_000
    own = profile_of(FleetSettings(link="lte-m", clock="device", rate=100.0), rng_of(1, "a"))
    assert 50 <= own.up <= 150


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.0}, {"dropout": -0.1}, {"away": -1}, {"speed": 1}, {"link": "5g"}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        FleetSettings(**wrong)
