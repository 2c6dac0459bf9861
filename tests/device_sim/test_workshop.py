"""Who trains: a thread, or the loop where a training is short."""

import asyncio
import threading
import time

from device_sim.workshop import SHORT, Workshop


def busy(seconds):
    """Take so much CPU, and say in which thread."""
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
    return threading.current_thread()


def work_through(*seconds):
    """The threads in which works of such lengths were done, one after the other."""

    async def through():
        workshop = Workshop(1)
        done = []
        for each in seconds:
            told = asyncio.Event()

            def tell(result, told=told):
                done.append(result)
                told.set()

            workshop.give(lambda each=each: busy(each), tell)
            await told.wait()
        workshop.close()
        return [thread is threading.main_thread() for thread in done]

    return asyncio.run(through())


def test_short_trainings_are_done_on_the_loop_from_the_second_on():
    assert work_through(0, 0, 0) == [False, True, True]


def test_a_long_training_sends_the_next_one_to_a_thread():
    assert work_through(0, 10 * SHORT, 0, 0) == [False, True, False, True]


def test_an_error_on_the_loop_is_told_and_what_is_cancelled_or_closed_never_begins():
    async def play():
        workshop, told, begun = Workshop(1), [], []
        first = asyncio.Event()
        workshop.give(lambda: busy(0), lambda _: first.set())
        await first.wait()
        workshop.give(lambda: 1 // 0, told.append)
        workshop.give(lambda: begun.append(1), told.append).cancelled = True
        await asyncio.sleep(0.01)
        workshop.give(lambda: begun.append(2), told.append)
        workshop.close()
        await asyncio.sleep(0.01)
        return told, begun

    told, begun = asyncio.run(play())
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert begun == []


def test_the_works_of_a_cohort_leave_the_loop_time_between_them():
    async def play():
        workshop, order = Workshop(1), []
        first = asyncio.Event()
        workshop.give(lambda: busy(0), lambda _: first.set())
        await first.wait()
        for number in range(3):
            workshop.give(lambda: None, lambda _, number=number: order.append(number))
        while 2 not in order:
            asyncio.get_running_loop().call_soon(order.append, "else")
            await asyncio.sleep(0)
        workshop.close()
        return order

    order = asyncio.run(play())
    assert [entry for entry in order if entry != "else"] == [0, 1, 2]
    assert "else" in order[: order.index(2)]
