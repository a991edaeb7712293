"""max + log1p(the sum without the maximum's own term): accurate where the result is near 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import logarithm
from harness.subject.candidates.builtin.logsumexp_shifted import finite_largest
from reference.ops import LOGSUMEXP

__all__ = ["CANDIDATE", "sum_of_others"]


def logsumexp_log1p(x: NDArray[Any]) -> NDArray[Any]:
    """Return the logsumexp of each row of x."""
    largest = finite_largest(x)
    shifted = largest + np.log1p(sum_of_others(x, x - largest[:, None]))
    without = np.log(np.exp(x).sum(axis=-1))  # of rows that have no finite maximum
    return np.asarray(np.where(np.isfinite(x.max(axis=-1)), shifted, without))


def sum_of_others(x: NDArray[Any], gap: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of exp(gap) of each row but for that of the first greatest entry of x.

    A gap that leaves a format without infinities is NaN, which would be its own greatest entry.
    """
    e = np.exp(gap)
    e[np.arange(len(e)), x.argmax(axis=-1)] = 0
    return np.asarray(e.sum(axis=-1))


CANDIDATE = logarithm(logsumexp_log1p, "max + log1p(sum of the others)", LOGSUMEXP, "shifted")
