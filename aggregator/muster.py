"""When a round may open: who is waited for, and how long."""

from __future__ import annotations


class Muster:
    """The first round of a run waits for `wanted` devices, however long that takes.

    Later ones wait at most `patience` seconds, then go on with who is there;
    those who did not come are not waited for again until they are back.
    """

    def __init__(self, wanted: int, patience: float, *, begun: bool, now: float) -> None:
        self._wanted = max(wanted, 1)
        self._expected = self._wanted
        self._patience = patience
        self._begun = begun
        self._since = now

    def restart(self, now: float) -> None:
        """A round has ended: the wait for the next begins."""
        self._begun = True
        self._since = now

    def ready(self, online: int, now: float) -> bool:
        """Whether a round may open with as many devices as are online."""
        self._expected = max(self._expected, min(online, self._wanted))
        if online >= self._expected:
            return True
        if not self._begun or online == 0 or now - self._since < self._patience:
            return False
        self._expected = online
        return True
