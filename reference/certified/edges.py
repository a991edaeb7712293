"""Results next to a power of two, where no fixed precision decides: settled by analysis.

Softmax comes as close to 2^-k as one likes in two ways, and in practice in these only:

* 2^k entries tie at the maximum and the others are negligible. With s the sum of the others'
  weights, the tied have r = 2^-k + 2^-2k D, D = -s 2^k / (2^k + s); D = 0 if there are no others;
* 2^k entries nearly tie. With d_j their distances to the maximum, A = sum d_j, M the largest of
  them, s the sum of the weights of the rest, and S = 2^k - A + ... the sum of all weights,

      r_i = 2^-k + 2^-2k D_i,   D_i = (A - 2^k d_i - s + v) 2^k / S,   |v| <= 2^k M^2 / 2,

  since 1 - d <= exp(-d) <= 1 - d + d^2/2 for d >= 0.

An open element is settled if the sign of D is certain and the residual is below 2^-10 and known to 2^-11
relative, so to `RESIDUAL_TOLERANCE`. Being undecided anywhere else is an accident of
a few in a million elements, and the next tier's business.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from reference.certified.compiled import compiled, inlined, two_sum
from reference.certified.doubledouble import SCALE, weight
from reference.certified.layout import BLOCK, Outputs, Rounding

__all__ = ["beside_power", "settle_near_ties", "settle_ties"]

_NEAR: Final = 2.0**-40
"""How near to the maximum an entry nearly ties."""

_LONGEST: Final = 1 << 22
"""The longest row of near ties: A is then known to n^2 u^2 < 2^-60 (Ogita, Rump, Oishi, 2005, Sum2)."""

_DISTANCE_ERROR: Final = 2.0**-60
_WEIGHT_ERROR: Final = 2.0**-40
"""Of a sum of weights rounded to binary64: 2 u for each, n u for the sum."""

_FLOOR_WEIGHT: Final = 2.0 ** (SCALE - 1154)
"""More than 2^600 exp(-800), which entries further down are given for a weight."""

_MOST: Final = 2.0**-10
_RESOLUTION: Final = 2.0**-11
_SMALLEST: Final = 5e-324


@compiled
def settle_ties(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Settle the open elements that tie at the maximum of their row with 2^k - 1 others."""
    for row in np.flatnonzero(truth.undecided):
        top = x[row].max()
        tied = (x[row] == top).sum()
        if tied & (tied - 1) == 0 and _has_open(x[row], truth.residual[row], top, 0.0):
            rest = _sum_of_weights(x[row], top, 0.0)
            deviation = -rest * (tied / (tied + math.ldexp(rest, -SCALE)))
            nearest, residual = beside_power(tied, deviation, rounding)
            for j in range(x.shape[1]):
                if x[row, j] == top:
                    _settle(truth, row, j, nearest, residual)


@compiled
def settle_near_ties(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Settle the open elements among 2^k that nearly tie at the maximum of their row."""
    for row in np.flatnonzero(truth.undecided):
        top = x[row].max()
        if not _has_open(x[row], truth.residual[row], top, _NEAR):
            continue
        near, furthest, total, total_rest = _cluster(x[row], top)
        rest = _sum_of_weights(x[row], top, _NEAR)
        if near & (near - 1) or near > _LONGEST or rest > math.ldexp(_RESOLUTION * near, SCALE):
            continue
        unknown = near * (math.ldexp(furthest, SCALE) * furthest + _SMALLEST)
        unknown += _WEIGHT_ERROR * rest + x.shape[1] * _FLOOR_WEIGHT
        for j in range(x.shape[1]):
            distance, distance_rest = _distance(x[row, j], top, near)
            if distance <= math.ldexp(_NEAR, SCALE) * near:
                deviation, low = two_sum(total, -distance)
                deviation += (low + (total_rest - distance_rest)) - rest
                if abs(deviation) * _RESOLUTION > unknown + _DISTANCE_ERROR * (total + distance):
                    nearest, residual = beside_power(near, deviation, rounding)
                    _settle(truth, row, j, nearest, residual)


@compiled
def _has_open(x: Any, residual: Any, top: float, reach: float) -> bool:
    """Tell whether an element within reach of the maximum is open: all others are another tier's."""
    found = False
    for j in range(x.size):
        found |= np.isnan(residual[j]) & (top - x[j] <= reach)
    return found


@inlined
def _settle(truth: Outputs, row: Any, j: int, nearest: float, residual: float) -> None:
    if np.isnan(truth.residual[row, j]) and not np.isnan(residual):
        truth.nearest[row, j], truth.residual[row, j] = nearest, residual
        truth.undecided[row] -= 1


@compiled
def beside_power(count: int, deviation: float, rounding: Rounding) -> tuple[float, float]:
    """Return RN(r) and the residual of r = 2^-k + 2^(-2k - 600) * deviation, count = 2^k.

    The residual is NaN where it is not small: then this is not the place to decide.
    """
    power = 1 - math.frexp(float(count))[1]
    binade = power - 1 if deviation < 0 else power
    quantum = max(binade, rounding.emin) - rounding.precision + 1
    rest = math.ldexp(deviation, 2 * power - SCALE - quantum)
    if abs(rest) > _MOST or power < quantum - 1:
        return np.nan, np.nan
    if power == quantum - 1:  # half the smallest subnormal
        return (math.ldexp(1.0, quantum), rest - 0.5) if deviation > 0 else (0.0, rest + 0.5)
    if deviation != 0.0 and rest == 0.0:
        rest = math.copysign(_SMALLEST, deviation)
    return math.ldexp(1.0, power), rest


@inlined
def _distance(value: float, top: float, factor: float) -> tuple[float, float]:
    """Return 2^600 * factor * (top - value) as an exact sum, for a factor that is a power of two."""
    head, tail = two_sum(top, -value)
    return math.ldexp(head, SCALE) * factor, math.ldexp(tail, SCALE) * factor


@compiled
def _cluster(x: Any, top: float) -> tuple[int, float, float, float]:
    """Return how many entries nearly tie, the largest distance, and the sum of 2^600 distances."""
    near, furthest, total, total_rest = 0, 0.0, 0.0, 0.0
    for value in x:
        if top - value <= _NEAR:
            head, tail = _distance(value, top, 1.0)
            near += 1
            furthest = max(furthest, top - value)
            total, low = two_sum(total, head)
            total_rest += low + tail
    return near, furthest, total, total_rest


@compiled
def _sum_of_weights(x: Any, top: float, beyond: float) -> float:
    """Return the sum of 2^600 exp(x - top) where top - x > beyond, x counting as top - 800 at least."""
    total = 0.0
    for start in range(0, x.size, BLOCK):
        part = 0.0
        for value in x[start : start + BLOCK]:
            head, _ = weight(value, top)
            part += head if top - value > beyond else 0.0
        total += part
    return total
