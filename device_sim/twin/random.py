"""The random numbers of local training: PCG-XSH-RR 64/32 (O'Neill 2014, HMC-CS-2014-0905).

The same as firmware/core/src/train/random.c, so that the core and the twin see the same
batches and the same rotations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

WORD = 0xFFFFFFFF
LONG = 0xFFFFFFFFFFFFFFFF
MULTIPLIER = 6364136223846793005
INCREMENT = 1442695040888963407


class Random:
    """A generator of 32-bit numbers; one seed, one sequence."""

    def __init__(self, seed: int) -> None:
        """Only the seed's last 32 bits count."""
        self._state = ((seed & WORD) + INCREMENT) & LONG
        self.word()

    def word(self) -> int:
        """A number in 0 … 2^32 − 1."""
        old = self._state
        self._state = (old * MULTIPLIER + INCREMENT) & LONG
        mixed = (((old >> 18) ^ old) >> 27) & WORD
        turn = old >> 59
        return (mixed >> turn | mixed << (-turn & 31)) & WORD

    def below(self, bound: int) -> int:
        """A number in 0 … bound − 1, each as likely (Lemire 2019, arXiv:1805.10941)."""
        biased = 2**32 % bound
        while True:
            product = self.word() * bound
            if product & WORD >= biased:
                return product >> 32

    def order(self, count: int) -> Indices:
        """0 … count − 1 in a random order: Fisher and Yates, from the end."""
        order = np.arange(count)
        for i in range(count - 1, 0, -1):
            j = self.below(i + 1)
            order[[i, j]] = order[[j, i]]
        return order

    def centred(self, *shape: int) -> NDArray[np.float64]:
        """Numbers in −1 … 1, without 1: multiples of 2^-23."""
        count = int(np.prod(shape))
        words = np.array([self.word() >> 8 for _ in range(count)], np.float64)
        return (words * 2.0**-23 - 1.0).reshape(shape)
