"""Weights most of which are zero: smaller on flash, and the same bytes."""

import numpy as np
import pytest

from benchmarks.firmware import prunable_bytes, pruned
from firmware.compiler.compile import compile_model
from firmware.compiler.pack import is_better_sparse, pairs, sparse
from tests.conftest import ROOT


def unpacked(words, outputs, k):
    codes, at = np.zeros((outputs, k), np.int64), 0
    for row in codes:
        count, place = words[at], 0
        for word in words[at + 1 : at + 1 + count].astype(int):
            place += word & 0xFF
            row[place] += word >> 8
        at += 1 + count
    assert at == words.size
    return codes


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.999])
@pytest.mark.parametrize("k", [1, 7, 300, 2000])
def test_sparse_words_hold_every_code(share, k):
    rng = np.random.default_rng(k)
    codes = rng.integers(-128, 128, (5, k)).astype(np.int8)
    codes[rng.random(codes.shape) < share] = 0
    assert (unpacked(sparse(codes), 5, k) == codes).all()


def test_a_word_of_pairs_holds_two_channels_at_two_places():
    codes = np.array([[1, -2, 3, 4], [-5, 6, 7, -8]], np.int8)
    first, second = pairs(codes, by_words=True).astype(np.int64) & 0xFFFFFFFF
    halves = [int(np.int16(h)) for w in (first, second) for h in (w & 0xFFFF, w >> 16)]
    assert halves == [1 - 5 * 256, 3 + 7 * 256, -2 + 6 * 256, 4 - 8 * 256]


@pytest.mark.parametrize("name", ["digits", "fashion", "har"])
def test_a_pruned_model_is_small_and_gives_the_oracles_bytes(name, same_as_oracle):
    file = (ROOT / "tflite_models" / name / "model.tflite").read_bytes()
    thin = pruned(file, 0.85)
    same_as_oracle(thin)
    dense = sum(
        layer.weights.codes.size
        for layer in compile_model(file, name).network.layers
        if layer.weights is not None
    )
    assert prunable_bytes(compile_model(thin, name)) < 0.4 * dense


def test_dense_weights_stay_dense():
    codes = np.ones((8, 64), np.int8)
    assert not is_better_sparse(codes, "conv")
    assert not is_better_sparse(codes, "dense")
