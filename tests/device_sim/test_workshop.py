"""Who trains: a Python thread, or the core's where a training is short."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from core.library import present
from device_sim.native import Native
from device_sim.shard import Shard
from device_sim.workshop import AHEAD, Workshop
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, to_float, weights_of
from wire.messages import Recipe

FIXTURES = Path(__file__).parent.parent / "fixtures"
SHORT = 0.1  # a training of the fixture stays far below, whatever else this machine does
pytestmark = pytest.mark.skipif(not present(), reason="the C core is not compiled")


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr("device_sim.workshop.SHORT", SHORT)


class Doing:
    """A training of the conv fixture; alone it takes `seconds` of CPU and says where it was."""

    def __init__(self, seconds=0.0, seed=1, batch=2):
        graph = read_graph((FIXTURES / "conv.tflite").read_bytes())
        layout = layout_of(graph)
        self.native, self.weights = (
            Native(graph, layout),
            to_float(layout, weights_of(graph, layout)),
        )
        rng = np.random.default_rng(7)
        sample = self.native.program.sample
        x = rng.normal(size=(5, *sample)).astype(np.float32)
        self.shard = Shard(x, rng.integers(0, self.native.program.classes, 5))
        self.recipe, self.seed, self.seconds = Recipe(1, batch, 0.05), seed, seconds

    def __call__(self):
        began = time.thread_time()
        while time.thread_time() - began < self.seconds:
            pass
        return threading.current_thread()

    def begin(self):
        return self.native.training(self.weights, self.shard, self.recipe, self.seed)

    def finish(self, training):
        return Native.trained(training, self.recipe)

    def expected(self):
        x, y = self.shard.x, self.shard.y
        return self.native.train(self.weights, x, y, self.recipe, self.seed)


class Alone(Doing):
    """One whose training cannot be had alone, as the NumPy twin's."""

    def begin(self):
        return None


async def result_of(workshop, work):
    told = asyncio.get_running_loop().create_future()
    workshop.give(work, told.set_result)
    return await told


def work_through(*works):
    """Whether a Python thread did each, one after the other."""

    async def through():
        workshop = Workshop(1)
        done = [await result_of(workshop, work) for work in works]
        workshop.close()
        return [isinstance(result, threading.Thread) for result in done]

    return asyncio.run(through())


def test_short_trainings_go_to_the_core_from_the_second_on():
    assert work_through(*[Doing()] * 3) == [True, False, False]


def test_a_long_training_sends_the_next_one_to_a_python_thread():
    long, short = Doing(1.2 * SHORT), Doing()
    assert work_through(long, long, short, short) == [True, True, True, False]


def test_what_cannot_be_trained_alone_goes_to_a_python_thread():
    assert work_through(*[Alone()] * 3) == [True, True, True]


def test_a_cohort_in_the_core_has_the_bits_of_trainings_one_by_one():
    works = [Doing(seed=seed) for seed in range(20)]

    async def play():
        workshop = Workshop(3)
        await result_of(workshop, Doing())
        results = await asyncio.gather(*(result_of(workshop, work) for work in works))
        workshop.close()
        return results

    for work, result in zip(works, asyncio.run(play()), strict=True):
        expected = work.expected()
        assert result.weights.tobytes() == expected.weights.tobytes()
        assert (result.loss_before, result.loss_after) == (
            expected.loss_before,
            expected.loss_after,
        )
        assert result.samples == 5


def test_only_so_many_have_room_for_their_results_at_once():
    open_now, most = set(), []

    class Counted(Doing):
        def begin(self):
            open_now.add(self)
            most.append(len(open_now))
            return super().begin()

        def finish(self, training):
            open_now.remove(self)
            return super().finish(training)

    works = [Counted(seed=seed) for seed in range(5 * AHEAD)]

    async def play():
        workshop = Workshop(1)
        await result_of(workshop, Doing())
        results = await asyncio.gather(*(result_of(workshop, work) for work in works))
        workshop.close()
        return results

    results = asyncio.run(play())
    assert len(results) == len(works)
    assert AHEAD <= max(most) <= AHEAD + 1  # one is being finished


def test_errors_are_told_and_what_is_cancelled_or_closed_is_not():
    class Failing(Doing):
        def finish(self, training):
            raise ZeroDivisionError

    class NeverBegun(Doing):
        def begin(self):
            raise ValueError

        def __call__(self):
            raise ValueError

    async def play():
        workshop, told = Workshop(1), []
        await result_of(workshop, Doing())
        told.append(await result_of(workshop, Failing()))
        told.append(await result_of(workshop, NeverBegun()))
        await result_of(workshop, Doing())
        workshop.give(Doing(), told.append).cancelled = True
        await asyncio.sleep(0.01)
        workshop.give(Doing(), told.append)
        workshop.close()
        await asyncio.sleep(0.01)
        return told

    assert [type(error) for error in asyncio.run(play())] == [ZeroDivisionError, ValueError]


def test_what_is_given_to_a_closed_workshop_is_never_begun():
    async def play():
        workshop, told = Workshop(1), []
        await result_of(workshop, Doing())
        await result_of(workshop, Doing())  # by the core's threads
        workshop.close()
        workshop.give(Doing(), told.append)
        await asyncio.sleep(0.01)
        return told

    assert asyncio.run(play()) == []


def test_the_works_of_a_cohort_leave_the_loop_time_between_them():
    async def play():
        workshop, order = Workshop(1), []
        await result_of(workshop, Doing())
        for number in range(3):
            workshop.give(Doing(), lambda _, number=number: order.append(number))
        while 2 not in order:
            asyncio.get_running_loop().call_soon(order.append, "else")
            await asyncio.sleep(0)
        workshop.close()
        return order

    order = asyncio.run(play())
    assert [entry for entry in order if entry != "else"] == [0, 1, 2]
    assert "else" in order[: order.index(2)]
