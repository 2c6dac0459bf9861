"""Where devices train: a few threads, and word of what is done on the loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from device_sim.events import Update

Result = Update | Exception


@dataclass(eq=False, slots=True)
class Work:
    """One training.  Cancelled before it has begun it never does; later, nobody hears of it."""

    do: Callable[[], Update]
    done: Callable[[Result], None]
    cancelled: bool = False


class Workshop:
    """Threads that train, in the order they are asked to.

    All that is finished when the loop comes round is told in one turn: waking
    a loop takes as long as a small training.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[Work | None] = SimpleQueue()
        self._finished: deque[tuple[Work, Result]] = deque()
        self._told = False
        self._threads = [
            Thread(target=self._labour, daemon=True, name=f"training-{number}")
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def give(self, do: Callable[[], Update], done: Callable[[Result], None]) -> Work:
        """Have `do` called in a thread, and `done` on the loop with what came of it."""
        work = Work(do, done)
        self._orders.put(work)
        return work

    def close(self) -> None:
        """Begin nothing more.  What is under way is not waited for."""
        with contextlib.suppress(Exception):
            while not self._orders.empty():
                self._orders.get_nowait()
        for _ in self._threads:
            self._orders.put(None)

    def _labour(self) -> None:
        while (work := self._orders.get()) is not None:
            if work.cancelled:
                continue
            try:
                result: Result = work.do()
            except Exception as error:  # noqa: BLE001 - told to the device
                result = error
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
