"""The layouts of weights that the kernels in firmware/core/src/layers read.

"rows": [output][k], as in the model; for plain C and Helium.

"pairs": for the DSP extension.  Outputs c and c + 1 at k and k' share a word of two halves,
w[c] + 256·w[c + 1] each.  Words run over k, then over pairs of outputs; of a fully connected
layer three pairs lie side by side.  k is filled up with zeros to a multiple of four, in the
order 0, 2, 1, 3, 4, 6, … where kernels take inputs apart by words, else as it is.

"sparse": for every path.  Each output is a list of 16-bit words: how many there are, then how
many k to go on from the one before in the low byte and the code there in the high byte; a word
with the code 0 bridges more than 255.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firmware.compiler.network import Weights

UNPACKED = (0, 2, 1, 3)  # SXTB16 takes bytes 0 and 2 out of a word, then 1 and 3
DENSE_PAIRS = 3

Codes = NDArray[np.int8]
Layout = Literal["rows", "pairs"]  # of a whole model: what its processor's kernels read


def fits_pairs(weights: Weights) -> bool:
    """Whether sums are small enough for two to share a register: |sum| < 2^22, and no −128."""
    rows = weights.codes.reshape(len(weights.codes), -1).astype(np.int64)
    return bool((np.abs(rows).sum(axis=1) * 128 < 2**22).all() and (rows > -128).all())


def pairs(codes: Codes, *, by_words: bool, beside: int = 1) -> NDArray[np.int32]:
    """The words of (outputs, k) codes; `beside` pairs of outputs lie side by side."""
    outputs, k = codes.shape
    padded = np.zeros((-(-outputs // (2 * beside)) * 2 * beside, -(-k // 4) * 4), np.int32)
    padded[:outputs, :k] = codes
    if by_words:
        padded = padded.reshape(len(padded), -1, 4)[:, :, UNPACKED].reshape(len(padded), -1)
    halves = padded[0::2] + 256 * padded[1::2]
    words = (halves[:, 0::2] & 0xFFFF) | (halves[:, 1::2] << 16)
    groups = words.reshape(-1, beside, words.shape[1])
    return np.ascontiguousarray(groups.transpose(0, 2, 1)).ravel().astype(np.int32)


FARTHEST = 255  # that one pair goes on


def sparse(codes: Codes) -> NDArray[np.int16]:
    """The words of (outputs, k) codes, k < 2^15."""
    stream: list[int] = []
    for row in codes:
        words: list[int] = []
        last = 0
        for k in np.flatnonzero(row).tolist():
            while k - last > FARTHEST:
                words.append(FARTHEST)
                last += FARTHEST
            words.append(int(row[k]) * 256 + k - last)
            last = k
        stream += [len(words), *words]
    return np.array(stream, np.int16)


# Instructions of a Cortex-M4F for one weight: dense for any, sparse for one that is not zero,
# measured with QEMU: `microfed bench firmware --only 5.5`.
_DENSE = {"conv": 0.95, "dense": 1.1}
_SPARSE = {"conv": 2.6, "dense": 5.2}


def is_better_sparse(codes: Codes, kind: str) -> bool:
    """Whether a "conv" or "dense" layer is smaller as "sparse" and not slower."""
    share = float(np.count_nonzero(codes) / codes.size)
    if codes.shape[1] >= 2**15:
        return False
    return _SPARSE[kind] * share <= _DENSE[kind] and bool(sparse(codes).nbytes < codes.size)
