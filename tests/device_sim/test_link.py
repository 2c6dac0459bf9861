"""The simulated link: slow, lossy, in order, and nobody else's business."""

import asyncio
import random
import selectors

import pytest

from device_sim.link import Link


class Skipping(selectors.DefaultSelector):
    """Never waits: what would have been waited for has passed."""

    now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        return super().select(0)


def on_a_loop(act):
    """Run `act(loop)`, whose time is simulated, and return what it returns."""

    def make():
        clock = Skipping()
        loop = asyncio.SelectorEventLoop(clock)
        loop.time = lambda: clock.now
        return loop

    async def main():
        return await act(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(main())


def test_a_link_without_limits_delivers_at_once():
    async def act(loop):
        got = []
        Link(loop, 0.0, 0.0, random.Random(1)).carry(1000, lambda: got.append("a"))
        return got

    assert on_a_loop(act) == ["a"]


def test_messages_take_their_time_and_keep_their_order():
    async def act(loop):
        got, begun = [], loop.time()
        link = Link(loop, 10_000.0, 0.0, random.Random(1))
        for name, size in (("a", 500), ("b", 10), ("c", 490)):
            link.carry(size, lambda name=name: got.append((name, loop.time() - begun)))
        await asyncio.sleep(0.2)
        return got

    names, times = zip(*on_a_loop(act), strict=True)
    assert names == ("a", "b", "c")
    assert times == pytest.approx((0.05, 0.051, 0.1), abs=1e-6)


def test_one_slow_link_does_not_hold_up_another():
    async def act(loop):
        got = []
        Link(loop, 1.0, 0.0, random.Random(1)).carry(1000, lambda: got.append("slow"))
        Link(loop, 1e6, 0.0, random.Random(1)).carry(1000, lambda: got.append("fast"))
        await asyncio.sleep(0.05)
        return got

    assert on_a_loop(act) == ["fast"]


def test_a_share_of_the_messages_is_lost_but_not_what_is_sure():
    async def act(loop):
        link = Link(loop, 0.0, 0.25, random.Random(1))
        got = []
        for _ in range(4000):
            link.carry(1, lambda: got.append("chance"))
            link.carry(1, lambda: got.append("sure"), sure=True)
        return got.count("chance"), got.count("sure")

    chance, sure = on_a_loop(act)
    assert 2900 < chance < 3100
    assert sure == 4000


def test_what_is_under_way_when_the_link_is_cut_never_arrives():
    async def act(loop):
        got = []
        link = Link(loop, 1000.0, 0.0, random.Random(1))
        link.carry(10, lambda: got.append("before"))
        link.cut()
        link.carry(10, lambda: got.append("after"))
        await asyncio.sleep(0.05)
        return got

    assert on_a_loop(act) == ["after"]
