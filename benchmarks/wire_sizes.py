"""What the codec itself takes: bytes beside the ideal and other compressors, speed, intake."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from aggregator.accumulate import Accumulator
from aggregator.intake import Content, judge
from benchmarks.bars import Bar, Outcome, Row
from benchmarks.wire_rounds import Contender, Ground, Recorder, play
from wire.cbor import decode, encode
from wire.codec import CODECS
from wire.codecs import symbols
from wire.codecs.microfed import default_budget
from wire.coder import ONE, Reader, Writer
from wire.messages import Kind, Manifest, Offer

SECONDS = 1.0  # of each measurement of speed
_OTHERS = {
    "zstd -19": ("zstd", "-19", "--stdout", "--no-check"),
    "brotli -q 11": ("brotli", "--quality=11", "--stdout"),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """An update as devices make it, with what it was coded to."""

    owing: NDArray[np.float32]
    data: bytes
    levels: NDArray[np.int32]
    scale: symbols.Scale


class _Weighed(Writer):
    """Counts what its decisions would take at no loss."""

    def __init__(self) -> None:
        super().__init__()
        self.ideal = 0.0  # bits

    def bit(self, context: int, bit: int) -> int:
        chance = self._contexts.chance[context] / ONE
        self.ideal -= float(np.log2(chance if bit else 1 - chance))
        return super().bit(context, bit)

    def plain(self, value: int, bits: int) -> int:
        self.ideal += bits
        return super().plain(value, bits)


def samples(ground: Ground, rounds: int = 3) -> list[Sample]:
    """Every update of some rounds with the codec's own budget."""
    seen: Recorder = []
    play(ground, Contender("microfed"), rounds, seed=1, seen=seen)
    found = []
    for owing, data in seen:
        reader = Reader(data)
        scale = symbols.code_scale(reader, symbols.Scale(0, 0))
        blank = np.zeros(ground.size, np.int32)
        coded = symbols.code_symbols(reader, blank, ground.bounds, symbols.MOST_LEVEL)
        found.append(Sample(owing, data, coded, scale))
    return found


def size(ground: Ground) -> Outcome:
    """Bar 4.4: beside the ideal code length of its own model, and general compressors."""
    taken = ideal = 0.0
    others = {"xz": 0, **{name: 0 for name, call in _OTHERS.items() if shutil.which(call[0])}}
    of = samples(ground)
    for sample in of:
        writer = _Weighed()
        symbols.code_scale(writer, sample.scale)
        symbols.code_symbols(writer, sample.levels, ground.bounds, symbols.MOST_LEVEL)
        assert writer.finish() == sample.data
        taken, ideal = taken + len(sample.data), ideal + writer.ideal / 8
        raw = np.clip(sample.levels, -128, 127).astype(np.int8).tobytes()
        others["xz"] += min(len(lzma.compress(raw, f)) for f in (lzma.FORMAT_ALONE, lzma.FORMAT_XZ))
        for name in others:
            if name in _OTHERS:
                done = subprocess.run(_OTHERS[name], input=raw, capture_output=True, check=True)
                others[name] += len(done.stdout)
    mean = {name: total / len(of) for name, total in others.items()}
    row: Row = {"microfed": taken / len(of), "ideal": ideal / len(of), **mean}
    value = f"{taken / ideal:.3f} × ideal; {taken / len(of):.0f} B, " + ", ".join(
        f"{name} {total:.0f}" for name, total in mean.items()
    )
    ok = taken <= 1.03 * ideal and taken / len(of) < min(mean.values())
    return Outcome([row], [Bar("4.4", "coded size", value, "≤ 1.03 × ideal, below others", ok)])


def speed(ground: Ground) -> Outcome:
    """Bar 4.6: decoding, and what one process takes in."""
    of = samples(ground, rounds=1)[0]
    codec, n = CODECS["microfed"], ground.size
    each = _seconds(lambda: codec.decode(of.data, n, ground.bounds))
    writing = _seconds(lambda: codec.encode(of.owing, ground.bounds))
    rate, memory = _intake()
    row: Row = {"decode_MB_s": 4 * n / each / 1e6, "encode_MB_s": 4 * n / writing / 1e6}
    value = f"{row['decode_MB_s']:.0f} MB/s, {rate:.0f} updates/s, {memory / 1e3:.0f} kB more"
    ok = row["decode_MB_s"] >= 200 and rate >= 5000 and memory < 1_000_000
    return Outcome([row], [Bar("4.6", "decoding, intake", value, "≥ 200 MB/s, ≥ 5,000/s", ok)])


def _intake(n: int = 5000) -> tuple[float, int]:
    """Updates a second of n parameters, from payload to sum; bytes that a thousand more cost."""
    bounds = (0, n // 2, n)
    delta = (np.random.default_rng(0).standard_t(3, size=n) * 0.01).astype(np.float32)
    codec = CODECS["microfed"]
    payload = encode(_offer(codec.encode(delta, bounds, default_budget(n))))
    total = Accumulator(n, 1_000_000)

    def take() -> None:
        offer = decode(payload)
        assert isinstance(offer, Offer)
        content = judge(offer, offer.data, codec, n, bounds)
        assert isinstance(content, Content)
        total.add(content.delta, offer.samples)

    rate = 1 / _seconds(take)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        take()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return rate, after - before


def _offer(data: bytes) -> Offer:
    manifest = Manifest(Kind.UPDATE, len(data), sha256(data).digest())
    return Offer(3, bytes(8), 2, "microfed", 100, 0.1, 0.2, manifest, data, 2**32 - 1)


def _seconds(work: Callable[[], object]) -> float:
    """The fastest of three times as many calls as go into a third of SECONDS."""
    best = float("inf")
    for _ in range(3):
        calls, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < SECONDS / 3:
            work()
            calls += 1
        best = min(best, spent / calls)
    return best
