"""The aggregator's announcements on one connection, read by each device when it must.

Every announcement reaches every device, but to one at rest a later round of the
same run says nothing that it would act on.  Such a device reads it when it is
next stirred, as of the time when it came: its state machine, being pure, cannot
tell the difference, and ten thousand idle devices cost nothing a round.
"""

from __future__ import annotations

from device_sim.reading import read
from wire.errors import WireError
from wire.messages import Announce, Phase


class Notices:
    """The newest announcement, and how many there were."""

    def __init__(self) -> None:
        self.payload = b""  # none yet
        self.at = 0.0  # when it came, on the loop's clock
        self.messages = 0  # since the beginning, with their bytes
        self.bytes = 0
        self._session = 0

    def post(self, payload: bytes, now: float) -> bool:
        """Put one up; True when even a device at rest must read it at once."""
        try:
            said = read(payload)
        except WireError:
            said = None
        session = said.session if isinstance(said, Announce) else 0
        training = isinstance(said, Announce) and said.phase is Phase.TRAINING
        known = session != 0 and session == self._session
        self.payload, self.at, self._session = payload, now, session
        self.messages += 1
        self.bytes += len(payload)
        return not (training and known)
