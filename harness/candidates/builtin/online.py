"""One pass for maximum and sum together, rescaling the sum whenever the maximum grows.

Milakov and Gimelshein, *Online normalizer calculation for softmax* (arXiv:1805.02867),
algorithm 3; a second pass gives exp(x - max) / sum. Rows side by side, entries one after the other.

In float8_e4m3fn, which has no infinity, x - max below -Omega is NaN. In the second pass that may
befall an entry whose differences to the maxima so far all stayed in range, and then it alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.arithmetic import arrays, built_in, lowest, per_format, summed
from reference.declaration import Declaration

__all__ = ["CANDIDATE"]

NAME = "online"
DECLARATION = Declaration(argument="running")


def online(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    columns = np.ascontiguousarray(x.T)
    # A masked row's start must not be -inf: -inf - -inf is NaN.
    largest = np.maximum(columns[0], lowest(x))
    total = np.exp(columns[0] - largest)
    for column in columns[1:]:
        larger = np.maximum(largest, column)
        total = total * np.exp(largest - larger) + np.exp(column - larger)
        largest = larger
    return np.asarray(np.exp(x - largest[:, None]) / total[:, None])


CANDIDATE = built_in(
    NAME,
    online,
    "one pass with a running maximum and a rescaled sum (Milakov and Gimelshein)",
    DECLARATION,
    per_format(lambda fmt: summed(arrays(NAME, fmt, DECLARATION), "sequential")),
)
