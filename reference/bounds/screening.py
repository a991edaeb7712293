"""Rows whose greatest ratio of error to bound can be ruled out without their bounds.

The greatest ratio of a batch is wanted, and bounds cost several times what the verdict costs. In the notation
of `reference.bounds`, let r' be r in its own ulps, and M the greatest RN(r) of the row plus half its ulp, so
that r <= r_max <= M. Then the bound of every entry is at least

    r' min(down, 1 - M), and 1/2 more where M <= 1/2 and the quotient is rounded to the output format.

Line by line, each bounds the error from below:

(Q) before rounding the bound is the lesser of two numbers. One is r' down / (1 - down) and more. The other is
    U_i / L_max - r, which is at least r (1 - r_max) / r_max, as U_i >= w_i and L_max <= w_max; so it is at
    least r' (1 - M) in ulps.
(R), (P) and a rounding of the quotient in the arithmetic only widen it.
(F) adds half an ulp of q+, and q+ >= r.
(C) may lower it to 1 - r, which is at least r (1 - M). Where M <= 1/2, that suffices for the half ulp too:
    1 - r is at least r (1 - M) / M, so at least 2 r' (1 - M) ulps, where r' >= 1; and where r' < 1, an ulp
    is the output's smallest subnormal, of which 1 - r holds two and more.

Policy rows have no bound. An error below a ratio times that, less `LOWERED`, has no greater ratio.
"""

from __future__ import annotations

from typing import Any, Final

from reference.bounds.compiled import Constants, constants_of, in_ulps, ulp_exponent
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
def may_exceed(nearest: Any, residual: Any, ulp: Any, row: int, ratio: float, c: Constants) -> bool:
    """Tell whether an entry of a row with an exact result may have a greater ratio than that.

    Where it says no, no ratio of the row is greater. A negative ratio stands for none so far.

    Args:
        nearest: RN(r) of some rows, of shape (rows, n).
        residual: of the truth, likewise.
        ulp: the errors of outputs, likewise.
        row: the row that is meant.
        ratio: the greatest so far.
        c: constants of the algorithm for rows of n entries.
    """
    greatest = 0
    for j in range(nearest.shape[1]):
        greatest = max(greatest, pattern(nearest[row, j]))
    binade = max((greatest >> FRACTION_BITS) - _BIAS, c.outer_emin)
    most = float_of(greatest) + float_of((binade - c.outer_precision + _BIAS) << FRACTION_BITS)
    share = max(min(c.shrunk, 1.0 - most), 0.0)
    half = 0.5 if c.rounds_result & (most <= 0.5) else 0.0
    lowered, found = ratio * LOWERED, ratio < 0.0
    for j in range(nearest.shape[1]):
        exponent = ulp_exponent(nearest[row, j], residual[row, j], c)
        least = (in_ulps(nearest[row, j], exponent) + residual[row, j]) * share + half
        found |= ulp[row, j] > lowered * least
    return found
