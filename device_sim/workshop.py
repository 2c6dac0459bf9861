"""Where devices train: a few threads, or the loop itself where that is sooner."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from device_sim.events import Update

Result = Update | Exception

# Seconds of CPU.  Handing a shorter training to a thread and Python's lock back and forth takes
# longer than the training: a fleet in memory is then a third faster with no threads at all.
SHORT = 0.0005


@dataclass(eq=False, slots=True)
class Work:
    """One training.  Cancelled before it has begun it never does; later, nobody hears of it."""

    do: Callable[[], Update]
    done: Callable[[Result], None]
    cancelled: bool = False


class Workshop:
    """Threads that train, in the order they are asked to.

    All that is finished when the loop comes round is told in one turn.  While
    trainings are short the loop does them, one each time it comes round.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[Work | None] = SimpleQueue()
        self._finished: deque[tuple[Work, Result]] = deque()
        self._told = False
        self._short = False  # whether the last one was
        self._own: deque[Work] = deque()  # what the loop is to do
        self._threads = [
            Thread(target=self._labour, daemon=True, name=f"training-{number}")
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def give(self, do: Callable[[], Update], done: Callable[[Result], None]) -> Work:
        """Have `do` called, later, and `done` on the loop with what came of it."""
        work = Work(do, done)
        if not self._short:
            self._orders.put(work)
            return work
        self._own.append(work)
        if len(self._own) == 1:
            self._loop.call_soon(self._work_here)
        return work

    def close(self) -> None:
        """Begin nothing more.  What is under way is not waited for."""
        self._own.clear()
        with contextlib.suppress(Exception):
            while not self._orders.empty():
                self._orders.get_nowait()
        for _ in self._threads:
            self._orders.put(None)

    def _labour(self) -> None:
        while (work := self._orders.get()) is not None:
            if work.cancelled:
                continue
            self._finished.append((work, self._do(work)))
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop has ended, nobody listens
                    self._loop.call_soon_threadsafe(self._tell)

    def _do(self, work: Work) -> Result:
        began = time.thread_time()
        try:
            return work.do()
        except Exception as error:  # noqa: BLE001 - told to the device
            return error
        finally:
            self._short = time.thread_time() - began < SHORT

    def _work_here(self) -> None:
        if not self._own:
            return  # closed
        work = self._own.popleft()
        if self._own:
            self._loop.call_soon(self._work_here)
        if not work.cancelled:
            work.done(self._do(work))

    def _tell(self) -> None:
        self._told = False  # before looking: what is finished from now on wakes us again
        while self._finished:
            work, result = self._finished.popleft()
            if not work.cancelled:
                work.done(result)
