"""Bar 4.7: any bytes at all into the decoders.  The fuzzer is `make -C firmware/core fuzz`."""

from __future__ import annotations

import tracemalloc

import numpy as np

from benchmarks.bars import Bar, Outcome
from benchmarks.wire_rounds import Ground
from wire.codecs import symbols
from wire.codecs.microfed import Microfed, read_differences
from wire.codecs.numbers import read_numbers
from wire.codecs.peaks import Peaks
from wire.errors import CodecError

MESSAGES = 20_000
IN_PYTHON = 400  # of them through the reference as well, which is slow


def measure(ground: Ground) -> Outcome:
    """Noise, and messages with a few bytes changed: values or CodecError, and no more memory."""
    random = np.random.default_rng(1)
    n, bounds = ground.size, ground.bounds
    codec = Microfed()
    wide = bytes(t % 2 for t in range(len(bounds) - 1))
    good = codec.encode((random.standard_t(3, size=n) * 0.01).astype(np.float32), bounds)
    taken = 0
    tracemalloc.start()
    for number in range(MESSAGES):
        data = bytearray(good if number % 2 else random.bytes(int(random.integers(0, 400))))
        for _ in range(int(random.integers(1, 4))):
            if data:
                data[int(random.integers(len(data)))] = int(random.integers(256))
        message = bytes(data)
        for decode in (
            lambda: codec.decode(message, n, bounds),  # noqa: B023 - called at once
            lambda: Peaks().decode(message, n, bounds),  # noqa: B023
            lambda: read_differences(message, n),  # noqa: B023
            lambda: read_numbers(message, bounds, wide),  # noqa: B023
            lambda: symbols.decode(message, bounds) if number < IN_PYTHON else None,  # noqa: B023
        ):
            try:
                decode()
                taken += 1
            except CodecError:
                pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    value = f"{3 * MESSAGES + IN_PYTHON} decoded or refused ({taken} decoded), {peak / 1e3:.0f} kB"
    ok = peak < 64 * n
    return Outcome([], [Bar("4.7", "hostile bytes", value, "no fault, memory O(model)", ok)])
