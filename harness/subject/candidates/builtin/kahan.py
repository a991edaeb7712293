"""The form shifted by the maximum, with Kahan's compensated sum.

Kahan (CACM 8, 1965); Higham, *Accuracy and Stability of Numerical Algorithms*, section 4.3: the sum's error
is 2u + O(n u^2), however long the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, per_format, summed
from reference.declaration import Declaration

__all__ = ["CANDIDATE"]

NAME = "kahan"
DECLARATION = Declaration(argument="shifted")


def kahan(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / _compensated_sum(np.ascontiguousarray(e.T))[:, None])


def _compensated_sum(columns: NDArray[Any]) -> NDArray[Any]:
    """Return the sum over the first axis."""
    total: NDArray[Any] = np.zeros_like(columns[0])
    compensation = np.zeros_like(total)
    for column in columns:
        term = column - compensation
        larger = total + term
        compensation = (larger - total) - term
        total = larger
    return total


CANDIDATE = built_in(
    NAME,
    kahan,
    "exp(x - max) / sum with Kahan's compensated sum",
    DECLARATION,
    per_format(lambda fmt: summed(arrays(NAME, fmt, DECLARATION), "compensated")),
)
