"""What simulated devices must not forget when their process ends: a file for each of them.

A board keeps the same in flash.  A file is replaced as a whole, so it is the old one or the new.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from device_sim.feedback import Kept, Said


class Vault:
    """A folder of such files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def save(self, device: str, kept: Kept, said: tuple[Said, ...]) -> None:
        """Write what a device keeps, and its updates without a verdict."""
        head = {
            "base": kept.base.hex(),
            "bounds": kept.bounds,
            "said": [(s.round, s.nonce.hex(), s.codec, s.data.hex()) for s in said],
        }
        arrays = [kept.values, *(s.before for s in said)]
        body = b"".join(array.astype("<f2").tobytes() for array in arrays)
        path = self._path(device)
        new = path.with_suffix(".new")
        new.write_bytes(json.dumps(head).encode() + b"\n" + body)
        new.replace(path)

    def load(self, device: str) -> tuple[Kept | None, tuple[Said, ...]]:
        """What was saved last; nothing for a device that never was."""
        path = self._path(device)
        if not path.exists():
            return None, ()
        text, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(text)
        rows = np.frombuffer(body, "<f2").astype(np.float16).reshape(1 + len(head["said"]), -1)
        said = tuple(
            Said(number, bytes.fromhex(nonce), codec, bytes.fromhex(data), before)
            for (number, nonce, codec, data), before in zip(head["said"], rows[1:], strict=True)
        )
        return Kept(bytes.fromhex(head["base"]), tuple(head["bounds"]), rows[0]), said

    def _path(self, device: str) -> Path:
        return self._folder / f"{device}.kept"
