"""Where devices train: in Python threads, or where that is sooner in the core's own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from core.pool import Pool, Training
from device_sim.events import Update

Result = Update | Exception

# Seconds of CPU.  Handing a shorter work to a Python thread and Python's lock back and forth
# takes longer than the work: then the core's threads train, and the loop does the rest.
SHORT = 0.0005
AHEAD = 16  # trainings that the core's threads are given at once: each takes memory for its result


class Doable(Protocol):
    """What is to be done: all in one call, or its training apart (`LocalUpdate`)."""

    def __call__(self) -> Update:
        """All of it."""

    def begin(self) -> Training | None:
        """The training alone; None where it cannot be had alone."""

    def finish(self, training: Training) -> Update:
        """The rest."""


@dataclass(eq=False, slots=True)
class Work:
    """One training.  Once it is cancelled nobody hears of it, and no Python thread begins it."""

    do: Doable
    done: Callable[[Result], None]
    cancelled: bool = False


class Workshop:
    """Threads that train, in the order they are asked to.

    All that Python threads have finished when the loop comes round is told in one turn.
    While works are short the core's threads train, and each time it comes round the loop
    waits for the next of them.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[Work | None] = SimpleQueue()
        self._finished: deque[tuple[Work, Result]] = deque()
        self._told = False
        self._short = False  # whether the last one was
        self._count = threads
        self._pool: Pool[Work] | None = None  # there is one as soon as it is needed
        self._later: deque[Work] = deque()  # short ones beyond AHEAD
        self._closed = False
        self._threads = [
            Thread(target=self._labour, daemon=True, name=f"training-{number}")
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def give(self, do: Doable, done: Callable[[Result], None]) -> Work:
        """Have it done, later, and `done` called on the loop with what came of it."""
        work = Work(do, done)
        if self._later or (self._pool is not None and len(self._pool) >= AHEAD):
            self._later.append(work)
        else:
            self._place(work)
        return work

    def _place(self, work: Work) -> None:
        if not (self._short and not self._closed and self._pooled(work)):
            self._orders.put(work)

    def close(self) -> None:
        """Begin nothing more.  Longer trainings that are under way are not waited for."""
        self._closed = True
        self._later.clear()
        if self._pool is not None:
            self._pool.close()
        with contextlib.suppress(Exception):
            while not self._orders.empty():
                self._orders.get_nowait()
        for _ in self._threads:
            self._orders.put(None)

    def _pooled(self, work: Work) -> bool:
        """Whether the core's threads have taken the training of a work."""
        try:
            training = work.do.begin()
            if training is None:
                return False
            if self._pool is None:
                self._pool = Pool(max(self._count - 1, 1))  # the loop is busy too
        except Exception:  # noqa: BLE001 - a Python thread meets it again, and tells
            return False
        if not len(self._pool):
            self._loop.call_soon(self._take, self._pool)
        self._pool.give(training, work)
        return True

    def _take(self, pool: Pool[Work]) -> None:
        if not len(pool):
            return  # closed
        training, work = pool.take()
        self._short = training.seconds < SHORT
        if len(pool):
            self._loop.call_soon(self._take, pool)
        while self._later and len(pool) < AHEAD:
            later = self._later.popleft()
            if not later.cancelled:
                self._place(later)
        if not work.cancelled:
            work.done(_result(lambda: work.do.finish(training)))

    def _labour(self) -> None:
        while (work := self._orders.get()) is not None:
            if work.cancelled:
                continue
            began = time.thread_time()
            result = _result(work.do)
            self._short = time.thread_time() - began < SHORT
            self._finished.append((work, result))
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop has ended, nobody listens
                    self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False  # before looking: what is finished from now on wakes us again
        while self._finished:
            work, result = self._finished.popleft()
            if not work.cancelled:
                work.done(result)


def _result(do: Callable[[], Update]) -> Result:
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - told to the device
        return error
