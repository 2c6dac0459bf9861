"""The generator of local training: known numbers, fair bounds, whole permutations."""

import numpy as np

from device_sim.twin.random import Random


def test_the_numbers_are_those_of_pcg_oneseq_xsh_rr_64_32():
    """By the definition, from state (seed + c)·m + c with the published m and c."""
    m, c, state, expected = 6364136223846793005, 1442695040888963407, 42, []
    state = ((state + c) * m + c) % 2**64
    for _ in range(4):
        rotated = f"{((state ^ (state >> 18)) >> 27) % 2**32:032b}"
        turn = state >> 59
        expected.append(int(rotated[32 - turn :] + rotated[: 32 - turn], 2))
        state = (state * m + c) % 2**64
    random = Random(42)
    assert [random.word() for _ in range(4)] == expected


def test_numbers_below_a_bound_are_equally_likely():
    random = Random(1)
    counts = np.bincount([random.below(7) for _ in range(14_000)], minlength=7)
    assert counts.size == 7
    assert (np.abs(counts - 2000) < 5 * np.sqrt(2000)).all()


def test_an_order_holds_everything_once_and_differs_from_the_next():
    random = Random(3)
    first, second = random.order(50), random.order(50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first.tolist() != second.tolist()
    assert Random(3).order(1).tolist() == [0]
