"""Rows whose greatest ratio of error to bound can be ruled out without their bounds.

The greatest ratio of a batch is wanted, and bounds cost several times what the verdict costs. In the notation
of `reference.bounds`, let r' be r in its own ulps, and M the greatest RN(r) of the row plus half its ulp, so
that r <= r_max <= M. Then the bound of every entry is at least each of

    the lesser of r' min(down, 1 - M), 1/2 more where the quotient is rounded to the output format, and
    (1 - r) / ulp(r);
    the lesser of r' and 1/4, where the quotient is so rounded.

The first is what an output may lie above r. Line by line, each bounds that from below:

(Q) before rounding it is the lesser of two numbers. One is (a (1 - r) + r B) / (1 + a - B) plus
    r down / (1 - down). Its first term grows with a and B, and a >= c u r by (U), as an ulp is at least u of
    its number; so the two terms are at least r e (1 - r) and r down. The other number is U_i / L_max - r. It
    is at least r (1 - r_max) / r_max, as U_i >= w_i and L_max <= w_max; so it is at least r' (1 - M) in ulps.
(R), (P) and a rounding of the quotient in the arithmetic only widen it.
(F) adds half an ulp of q+, and q+ >= r.
(C) may lower it to 1 - r.

The second is what an output may lie below r: r - q-, plus half an ulp of q-. Let 2^k <= r < 2^(k+1). If
q- < 2^(k-1), then r - q- is more than 2^(k-1), which is an ulp or more where p >= 2. Else an ulp of q- is at
least half of r's; where r is subnormal, both are the smallest subnormal.

Policy rows have no bound. An error below a ratio times that, less `LOWERED`, has no greater ratio.
"""

from __future__ import annotations

import math
from typing import Any, Final

from reference.bounds.compiled import Constants, constants_of, in_ulps, ulp_exponent, zero_of
from reference.bounds.setting import setting_of
from reference.certified.compiled import FRACTION_BITS, float_of, inlined, pattern
from reference.declaration import Algorithm
from reference.formats import FloatFormat
from reference.fused import PLAIN, Fused

__all__ = ["may_exceed", "screened_by"]

LOWERED: Final = 1 - 2.0**-40
"""Covers the roundings of what the error is held against, five of 2^-53."""

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
    greatest, largest = 0, -math.inf
    for j in range(nearest.shape[1]):
        greatest = max(greatest, pattern(nearest[row, j]))
        largest = max(largest, x[row, j])
    binade = max((greatest >> FRACTION_BITS) - _BIAS, c.outer_emin)
    most = float_of(greatest) + float_of((binade - c.outer_precision + _BIAS) << FRACTION_BITS)
    rest = max(1.0 - most, 0.0)
    wrong = c.exp_ulps * float_of((_BIAS - c.inner_precision) << FRACTION_BITS)
    share, more = min(c.shrunk, rest), min(c.shrunk + wrong / (1.0 + wrong) * rest, rest)
    exact = zero_of(largest, c) if c.one_at_zero else math.nan
    half, quarter = (0.5, 0.25) if c.rounds_result else (0.0, 0.0)
    lowered, found = ratio * LOWERED, ratio < 0.0
    for j in range(nearest.shape[1]):
        exponent = ulp_exponent(nearest[row, j], residual[row, j], c)
        ulps = in_ulps(nearest[row, j], exponent) + residual[row, j]
        room = in_ulps(1.0 - nearest[row, j], exponent) - residual[row, j]
        deviation = ulps * (share if x[row, j] == exact else more)
        least = max(min(deviation + half, room), min(ulps, quarter))
        found |= ulp[row, j] > lowered * least
    return found
