"""One pass for maximum and sum together, rescaling the sum whenever the maximum grows.

Milakov and Gimelshein, *Online normalizer calculation for softmax* (arXiv:1805.02867),
algorithm 3; a second pass gives exp(x - max) / sum. Entries one after the other, with the bits of the loop
over them; NumPy takes the stretches in which no maximum grows at a time.

In float8_e4m3fn, which has no infinity, x - max below -Omega is NaN. In the second pass that may
befall an entry whose differences to the maxima so far all stayed in range, and then it alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, lowest, per_format, summed
from reference.declaration import Declaration

__all__ = ["CANDIDATE"]

NAME = "online"
DECLARATION = Declaration(argument="running")


def online(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    columns = np.ascontiguousarray(x.T)
    # A masked row's start must not be -inf: -inf - -inf is NaN.
    start = np.maximum(columns[:1], lowest(x))
    largest = np.maximum.accumulate(np.concatenate([start, columns[1:]]))
    terms = np.exp(columns - largest)
    total = _rescaled_sum(terms, np.exp(largest[:-1] - largest[1:]))
    return np.asarray(np.exp(x - largest[-1][:, None]) / total[:, None])


def _rescaled_sum(terms: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """Return the last of total = total * scale + term; scale 1 changes no total, and is left out."""
    total = terms[0]
    first = 1
    for grown in (1 + np.flatnonzero((scales != 1).any(axis=1))).tolist():
        total = _sum_in_order(total, terms[first:grown]) * scales[grown - 1] + terms[grown]
        first = grown + 1
    return _sum_in_order(total, terms[first:])


def _sum_in_order(total: NDArray[Any], terms: NDArray[Any]) -> NDArray[Any]:
    """Return total + terms, one after the other; `numpy.sum` would add in pairs."""
    if not len(terms):
        return total
    return np.asarray(np.add.accumulate(np.concatenate([total[None], terms]))[-1])


CANDIDATE = built_in(
    NAME,
    online,
    "one pass with a running maximum and a rescaled sum (Milakov and Gimelshein)",
    DECLARATION,
    per_format(lambda fmt: summed(arrays(NAME, fmt, DECLARATION), "sequential")),
)
