"""Rows whose greatest ratio of error to bound can be ruled out without their bounds.

The greatest ratio of a batch is wanted, and bounds cost several times what the verdict costs. In the notation
of `reference.bounds`, let r' be r in its own ulps, and M the greatest RN(r) of the row plus half its ulp, so
that r <= r_max <= M. Let g = k + c u, where k is the rounding of the difference x - max or x + c alone, and 0
of deep entries; g = 0 where (1) holds. Then the bound of every entry is at least each of

    the lesser of r' min(down + (1 - r) g / (1 + g), g + 1 - M), 1/2 more where the quotient is rounded to the
    output format, and (1 - r) / ulp(r);
    the lesser of r' and 1/4, where the quotient is so rounded.

The first is what an output may lie above r. Line by line, each bounds that from below:

(Q) before rounding it is the lesser of two numbers. One is (a (1 - r) + r B) / (1 + a - B) plus
    r down / (1 - down). Its first term grows with a and B, as B <= 1 - r, and a >= g r by (U), as exp(k) - 1
    is at least k and an ulp at least u of its number; so the two terms are at least r (1 - r) g / (1 + g) and
    r down. The other number is U_i / L_max - r. As U_i >= (1 + g) w_i and L_max <= w_max, it is at least
    r (1 + g - r_max) / r_max, so at least r' (g + 1 - M) in ulps.
(R), (P) and a rounding of the quotient in the arithmetic only widen it.
(F) adds half an ulp of q+, and q+ >= r.
(C) may lower it to 1 - r.

In place of g / (1 + g) stands m (1 - m), m the lesser of g and 1/2, which is no more and takes no division.

The second is what an output may lie below r: r - q-, plus half an ulp of q-. Let 2^b <= r < 2^(b+1). If
q- < 2^(b-1), then r - q- is more than 2^(b-1), which is an ulp or more where p >= 2. Else an ulp of q- is at
least half of r's; where r is subnormal, both are the smallest subnormal.

Policy rows have no bound. An error below a ratio times that, less `LOWERED`, has no greater ratio.
"""

from __future__ import annotations

import math
from typing import Any, Final

from reference.bounds.compiled import (
    Constants,
    argument_rounding,
    constants_of,
    depth_of,
    in_ulps,
    two_to,
    ulp_exponent,
    zero_of,
)
from reference.bounds.setting import setting_of
from reference.certified.compiled import FRACTION_BITS, float_of, inlined, pattern
from reference.declaration import Algorithm
from reference.formats import FloatFormat
from reference.fused import PLAIN, Fused

__all__ = ["may_exceed", "may_exceed_closely", "screened_by"]

LOWERED: Final = 1 - 2.0**-40
"""Covers the roundings of what the error is held against, a dozen of 2^-53."""

_BIAS: Final = 1023


def screened_by(
    algorithm: Algorithm, fmt_in: FloatFormat, fmt_out: FloatFormat, n: int, fused: Fused = PLAIN
) -> Constants | None:
    """Return what rows of n entries are screened by; None of bounds that `fill_row` does not make."""
    setting = setting_of(algorithm, fmt_in, fmt_out)
    if setting is None or fused.moves or not setting.divides_by_a_whole_sum:
        return None
    return constants_of(setting, n)


@inlined
def may_exceed(x: Any, nearest: Any, residual: Any, ulp: Any, row: int, ratio: float, c: Constants) -> bool:
    """Tell whether an entry of a row with an exact result may have a greater ratio than that.

    Where it says no, no ratio of the row is greater. A negative ratio stands for none so far.

    Args:
        x: logits of some rows, of shape (rows, n).
        nearest: RN(r), of the same shape.
        residual: of the truth, likewise.
        ulp: the errors of outputs, likewise.
        row: the row that is meant.
        ratio: the greatest so far.
        c: constants of the algorithm for rows of n entries.
    """
    zero, rest = _shared(x, nearest, row, c)
    wrong = c.exp_ulps * two_to(-c.inner_precision)
    half, quarter = (0.5, 0.25) if c.rounds_result else (0.0, 0.0)
    share, more = _deviation(0.0, rest, rest, c), _deviation(wrong, rest, rest, c)
    exact = zero if c.one_at_zero else math.nan
    lowered, found = ratio * LOWERED, ratio < 0.0
    for j in range(nearest.shape[1]):
        exponent = ulp_exponent(nearest[row, j], residual[row, j], c)
        ulps = in_ulps(nearest[row, j], exponent) + residual[row, j]
        room = in_ulps(1.0 - nearest[row, j], exponent) - residual[row, j]
        deviation = ulps * (share if x[row, j] == exact else more)
        least = max(min(deviation + half, room), min(ulps, quarter))
        found |= ulp[row, j] > lowered * least
    return found


@inlined
def _shared(x: Any, nearest: Any, row: int, c: Constants) -> tuple[float, float]:
    """Return the entry of a row whose argument is 0, and a lower bound of 1 - r_max: 1 - M, or 0.

    What is taken off 1 is a multiple of 2^-53 where it is above 1/2, so that the difference is exact.
    """
    greatest, largest = 0, -math.inf
    for j in range(nearest.shape[1]):
        greatest = max(greatest, pattern(nearest[row, j]))
        largest = max(largest, x[row, j])
    lowest = max(c.outer_emin - c.outer_precision, -53)
    half = two_to(max((greatest >> FRACTION_BITS) - _BIAS - c.outer_precision, lowest))
    return zero_of(largest, c), max(1.0 - (float_of(greatest) + half), 0.0)


@inlined
def may_exceed_closely(
    x: Any, nearest: Any, residual: Any, ulp: Any, row: int, ratio: float, c: Constants
) -> bool:
    """Tell what `may_exceed` does, at twice the cost, with k and 1 - r in place of 0 and 1 - M."""
    zero, rest = _shared(x, nearest, row, c)
    wrong = c.exp_ulps * two_to(-c.inner_precision)
    half, quarter = (0.5, 0.25) if c.rounds_result else (0.0, 0.0)
    exact = zero if c.one_at_zero else math.nan
    above, tiny = 1.0 + two_to(-c.outer_precision), two_to(max(c.outer_emin - c.outer_precision, -1022))
    lowered, found = ratio * LOWERED, ratio < 0.0
    for j in range(nearest.shape[1]):
        exponent = ulp_exponent(nearest[row, j], residual[row, j], c)
        ulps = in_ulps(nearest[row, j], exponent) + residual[row, j]
        room = in_ulps(1.0 - nearest[row, j], exponent) - residual[row, j]
        others = rest if nearest[row, j] > 0.5 else 1.0 - nearest[row, j] * above - tiny
        g = 0.0 if x[row, j] == exact else _least_rounding(x[row, j], zero, c) + wrong
        deviation = ulps * _deviation(g, others, rest, c)
        least = max(min(deviation + half, room), min(ulps, quarter))
        found |= ulp[row, j] > lowered * least
    return found


@inlined
def _deviation(g: float, others: float, rest: float, c: Constants) -> float:
    """Return how far an output may lie above r before rounding, at least and relative to r."""
    some = min(g, 0.5)
    return min(c.shrunk + some * (1.0 - some) * others, g + rest)


@inlined
def _least_rounding(x: float, zero: float, c: Constants) -> float:
    """Return the rounding of x - zero, or 0 where another step is counted in its place."""
    t = x - zero
    k = argument_rounding(x, -zero, t, c)
    return 0.0 if c.rescaled | (abs(t) == math.inf) | (t + k <= -depth_of(c)) else k
