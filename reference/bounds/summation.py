"""How far the computed sum of nonnegative numbers can lie from the exact one.

`sum_growth` gives (up, down) with (1 - down) s <= computed <= (1 + up) s. With u the unit
of the accumulator and v = u / (1 + u), rounding to nearest keeps a computed sum of two
between t / (1 + u) and t (1 + v) (Jeannerod and Rump, On relative errors of floating-point
operations, Math. Comp. 2018); underflow adds nothing, as sums in the subnormal range are exact.

Trees of height h: every term passes at most h additions, so 1 + up = (1 + v)^h and 1 - down
= (1 + u)^-h. One by one, up <= (n - 1) u as well (Jeannerod and Rump, Improved error bounds for inner
products, SIAM J. Matrix Anal. Appl. 2013, which restricts n u in no way); the smaller counts.

Heights. One by one: n - 1. NumPy's pairwise sum takes blocks of at most 128 entries with eight
running sums: at most 15 additions in each (14 where a rest of 7 follows), 3 to join
them, 7 for the rest: 24. Halving, rounded to multiples of 8, reaches 128 after at most ceil(log2(n / 112))
<= ceil(log2 n) - 6 levels, and a reduction may add its first entry apart. So the
height is at most min(n - 1, ceil(log2 n) + 24), with room for other blockings.

In the W lanes of a register, 4 for accumulators of 24 bits in 128 bits, 8 in 256, and half as many for wider
ones: floor(n / W) - 1 additions in a lane, at most W - 1 to join the lanes, and at most W - 1 more for the
rest of less than W entries. So the height is at most min(n - 1, ceil(n / W) + 2 W), and the greater of the
two counts: beyond n = 64 that of 4 lanes, below that of 8. Any number L >= W of lanes that are joined by
halving and take the rest as a vector stays below too: ceil(n / L) - 1 + ceil(log2 min(n, L)) additions.
PyTorch's softmax sums so (ATen, `vec::reduce_all`), in as many lanes as its registers hold: 4 on ARM.

Kahan's compensated sum takes y = x - c, s' = s + y, c' = (s' - s) - y. Let D = s' - s and e = D - y be
exact, so |e| <= u s'.

* |y| <= s: D is a number of the format (Sterbenz), and so is e (Dekker): c' = e.
* y > s: D = y + e may round, to D^. As y itself is a number, |D^ - D| <= |e|, so |D^ - y| <= 2 |e|
  <= y / 2, and c' = D^ - y is exact (Sterbenz). Also |e - c'| = |D^ - D| <= v D.

So |c| <= 2 u s always. T = s - c changes by x, by the rounding of y, at most v (x + |c|), and in
the second case by at most v D <= v (1 + 2 v) y <= v (1 + 2 v)(1 + v)(x + |c|). Let
a = v (1 + (1 + v)(1 + 2 v)), X the exact sum and Z the largest s. As c is 0 for the first two
terms, |T - X| <= a (X + 2 u (n - 2) Z), and Z <= (X + |T - X|) / (1 - 2 u). With
b = 2 a u (n - 2) / (1 - 2 u) it follows that |T - X| <= X (a + b) / (1 - b) if b < 1; beyond, there is no
bound. The last addition rounds once more. That is 3 u + O(n u^2), where the literature's
2 u (Higham, Accuracy and Stability, section 4.3) leaves its second-order terms open. Of one or two terms
c is not used, and the sum is that of a tree.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Final

from reference.declaration import Algorithm

__all__ = ["height", "sum_growth"]

_SCALE: Final = 200
"""Bits after the point of the integers in which powers are taken, each rounded outward."""

_VANISHING: Final = 64
"""From h u on, beyond which (1 + u)^-h is below 2^-80, and 0 serves as well."""

_PAIRWISE_EXTRA: Final = 24
_REGISTER_BITS: Final = (128, 256)


def _above(value: int) -> float:
    """Return a float64 that is not below a nonnegative scaled number, and close to it."""
    try:
        return value / (1 << _SCALE) * (1 + 2.0**-50)
    except OverflowError:
        return math.inf


def height(algorithm: Algorithm, n: int) -> int:
    """Return the height of the tree in which n terms are added, not compensated."""
    if algorithm.summation == "sequential":
        return n - 1
    if algorithm.summation == "lanes":
        width = 32 if (algorithm.accumulator_precision or 53) <= 24 else 64
        by_lanes = (-(-n // lanes) + 2 * lanes for lanes in (bits // width for bits in _REGISTER_BITS))
        return min(n - 1, max(by_lanes))
    return min(n - 1, (n - 1).bit_length() + _PAIRWISE_EXTRA)


@lru_cache(maxsize=4096)
def sum_growth(algorithm: Algorithm, n: int, precision: int) -> tuple[float, float] | None:
    """Return (up, down) for n >= 1 terms that are numbers of the given precision; None without a bound.

    An accumulator of another precision rounds the terms where it is narrower, its result where it is wider.
    Sums of blocks that are rescaled to the row's maximum are rounded once more each.
    """
    kept = algorithm.accumulator_precision or precision
    compensates = algorithm.summation == "compensated" and n > 2
    bounds = _compensated(n, kept) if compensates else _tree(algorithm, n, kept)
    if bounds is None:
        return None
    up, low = bounds
    if kept != precision:
        up, low = _rounded(up, low, min(kept, precision))
    if algorithm.rescaled:
        up, low = _rounded(up, low, precision)
    one = 1 << _SCALE
    return _above(up - one), _above(max(one - low, 0))


def _rounded(up: int, low: int, precision: int) -> tuple[int, int]:
    """Add one rounding: 1 + v = (2^p + 2) / (2^p + 1), and 1 / (1 + u) = 2^p / (2^p + 1)."""
    units = 1 << precision
    return -(-up * (units + 2) // (units + 1)), low * units // (units + 1)


def _tree(algorithm: Algorithm, n: int, kept: int) -> tuple[int, int]:
    h = height(algorithm, n)
    one, u = 1 << _SCALE, 1 << (_SCALE - kept)
    low = one * one // _power_above(one + u, h) if h >> kept < _VANISHING else 0
    linear = one + h * u
    if algorithm.summation == "sequential" and h >> kept:
        return linear, low  # the power, nearly e^(h u), is greater
    up = _power_above(one + -(-one // ((1 << kept) + 1)), h)
    return min(up, linear) if algorithm.summation == "sequential" else up, low


def _power_above(base: int, exponent: int) -> int:
    """Return a scaled number's power, rounded up in each multiplication."""
    result = 1 << _SCALE
    while exponent:
        if exponent & 1:
            result = -(-result * base >> _SCALE)
        base = -(-base * base >> _SCALE)
        exponent >>= 1
    return result


def _compensated(n: int, kept: int) -> tuple[int, int] | None:
    u, one = Fraction(1, 1 << kept), 1 << _SCALE
    v = u / (1 + u)
    a = v * (1 + (1 + v) * (1 + 2 * v))
    b = 2 * a * u * (n - 2) / (1 - 2 * u)
    if b >= 1:
        return None
    error = (a + b) / (1 - b)
    return math.ceil((1 + error) * (1 + v) * one), math.floor(max(1 - error, Fraction(0)) / (1 + u) * one)
