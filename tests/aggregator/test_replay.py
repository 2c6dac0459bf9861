"""Kill the aggregator after each thing it does, in turn; resume; the model must be the same."""

import pytest

from aggregator.records import read_record
from aggregator.store import Store


class Killed(BaseException):
    """The process is gone."""


class Heart:
    """Beats until `last`, then kills."""

    def __init__(self, last=None):
        self.beats, self.last = 0, last

    def __call__(self):
        self.beats += 1
        if self.beats == self.last:
            raise Killed


def mortal(heart):
    """A store whose every write is preceded and followed by a heartbeat."""

    class Mortal(Store):
        _synchronous = "OFF"  # processes die here, not machines

        def _write(self, *args):
            heart()
            return super()._write(*args)

        def commit(self, *args):
            heart()
            super().commit(*args)
            heart()

    return Mortal


def live(world, heart, devices):
    """Run to the end, starting again after every death; the final file."""
    world.heart = heart
    deaths = 0
    while True:
        try:
            if not hasattr(world, "store"):
                world.start(mortal(heart))
                for each in devices:
                    if each.name not in world.devices:
                        world.add(each)
            world.pump()
            world.wait(0.5)
        except Killed:
            deaths += 1
            if hasattr(world, "store"):
                world.stop()
                del world.store
        else:
            return world.current_file(), deaths


@pytest.mark.parametrize(
    ("rule", "codec", "stride"), [("fedavgm", "int8", 1), ("fedadam", "float32", 7)]
)
def test_a_run_killed_at_any_point_ends_with_the_same_model(
    tmp_path, rig, device, rule, codec, stride
):
    def run(name, last):
        world = rig(
            wanted=3,
            rounds=2,
            rule=rule,
            codec=codec,
            server_learning_rate=0.1,
            quorum=0.5,
            start=False,
            directory=tmp_path / name,
        )
        heart = Heart(last)
        # One declines; one pulls and is pulled from; one sends its update inline.
        devices = [device("a"), device("b", buffer=4096, samples=30), device("c", declines=True)]
        file, deaths = live(world, heart, devices)
        accepted = sum(d.accepted for d in read_record(world.directory).devices)
        applied = [(r.number, r.abandoned) for r in world.records[-2:]]
        world.stop()
        return heart.beats, (file, accepted, world.course.model.version), deaths, applied

    beats, undisturbed, deaths, _ = run("whole", None)
    assert deaths == 0
    assert undisturbed[1:] == (4, 2)
    assert beats > 100
    for last in range(1, beats + 1, stride):
        _, result, deaths, _ = run(f"killed-{last}", last)
        assert deaths == 1
        assert result == undisturbed, f"killed at beat {last} of {beats}"
