"""The truth of pairs by mpmath, of which those with one gap have one result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from reference.model import Truth
from reference.oracle import truth_mpmath

__all__ = ["one_of_each_gap", "truth_of_pairs"]


def one_of_each_gap(x: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the place of one pair of each gap, and for each pair which of these has its gap.

    Pairs are finite numbers of 8 bits, so that a float64 holds each gap.
    """
    _, places, which = np.unique(x[:, 1] - x[:, 0], return_index=True, return_inverse=True)
    return places, which


def truth_of_pairs(x: NDArray[np.float64], fmt: FloatFormat) -> Truth:
    """Return the truth of pairs of finite numbers of 8 bits: mpmath is asked of one pair of each gap."""
    places, which = one_of_each_gap(x)
    known = truth_mpmath(x[places], fmt)
    return Truth(fmt, known.nearest[which], known.residual[which], known.kinds[which])
