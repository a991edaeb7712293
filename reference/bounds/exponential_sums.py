"""Sums of exponentials of rows, compiled: good to 2^-36 relative, which tells most from a limit."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.compiled import lanes_sum
from reference.bounds.elementary import LN2_HIGH, LN2_LOW, PER_LN2, REACH
from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined

__all__ = ["exponential_sums"]

Floats = NDArray[np.float64]

_BIAS: Final = 1023
_FARTHEST: Final = 1000
_COEFFICIENTS: Final = tuple(1.0 / math.factorial(k) for k in range(10, -1, -1))
"""Those of Taylor's polynomial of exp, the highest first."""


def exponential_sums(x: Floats, shift: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return (f, k) with sum exp(x + shift) = f 2^k for every row."""
    fraction, exponent = np.empty(len(x)), np.empty(len(x), dtype=np.int64)
    _add_exponentials(x, shift, fraction, exponent)
    return fraction, exponent


@compiled
def _add_exponentials(x: Any, shift: Any, fraction: Any, exponent: Any) -> None:
    """Store f and k of every row. Terms below 2^-1000 of the greatest count as much, and decide nothing."""
    terms, lanes = np.empty(x.shape[1]), np.empty(8)
    for row in range(x.shape[0]):
        top = -math.inf
        for j in range(x.shape[1]):
            top = max(top, x[row, j])
        _, highest = _exp_of_one(top + shift[row])
        for j in range(x.shape[1]):
            value, power = _exp_of_one(x[row, j] + shift[row])
            term = value * float_of((max(power - highest, -_FARTHEST) + _BIAS) << FRACTION_BITS)
            terms[j] = term if x[row, j] > -math.inf else 0.0
        fraction[row], exponent[row] = lanes_sum(terms, lanes), highest


@inlined
def _exp_of_one(t: float) -> tuple[float, int]:
    """Return what `exp_parts` does, within 2^-41 relative: Taylor's remainder is 0.3467^11 / 11! < 2^-42."""
    t = min(max(t, -REACH), REACH)
    k = np.rint(t * PER_LN2)
    r = (t - k * LN2_HIGH) - k * LN2_LOW
    value = 0.0
    for i in range(len(_COEFFICIENTS)):
        value = value * r + _COEFFICIENTS[i]
    return value, int(k)
