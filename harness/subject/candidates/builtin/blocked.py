"""Maximum and sum of blocks, merged as flash attention merges its tiles.

Dao et al., *FlashAttention* (NeurIPS 2022), algorithm 1: the running sum is rescaled once a block, and
the block's exponentials are taken against the maximum so far. A second pass gives exp(x - max) / sum.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, lowest, per_format, summed
from reference.declaration import Declaration

__all__ = ["BLOCK", "CANDIDATE"]

NAME = "blocked"
DECLARATION = Declaration(argument="running")

BLOCK: Final = 128
"""Entries of a block, as common in attention kernels."""


def blocked(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    largest = np.full_like(x[:, :1], lowest(x))  # not -inf: -inf - -inf is NaN
    total = np.zeros_like(largest)
    for start in range(0, x.shape[1], BLOCK):
        block = x[:, start : start + BLOCK]
        larger = np.maximum(largest, block.max(axis=-1, keepdims=True))
        share = np.exp(block - larger).sum(axis=-1, keepdims=True)
        # The first block has nothing to rescale, and -Omega - max may leave a format without infinity.
        total = total * np.exp(largest - larger) + share if start else share
        largest = larger
    return np.asarray(np.exp(x - largest) / total)


CANDIDATE = built_in(
    NAME,
    blocked,
    f"maximum and sum by blocks of {BLOCK}, merged as in flash attention",
    DECLARATION,
    per_format(lambda fmt: summed(arrays(NAME, fmt, DECLARATION), "sequential")),
)
