"""The quick tier: r in plain binary64, enough to decide formats of precision 24 and less.

For every element: h = fl(x - max), exp(h) by reduction to |t| <= ln2/2 and a polynomial,
a sum of bounded height, one reciprocal, one product, RN to the format, and a test
whether the bound below decides it. What stays undecided is left as a NaN residual.

The bound, relative to r, in units of u = 2^-53, n entries, eta the format's smallest subnormal:

=====================  ============  ======================================================
term                   at most       why
=====================  ============  ======================================================
shift, own             H             fl(x - max) = (x - max)(1 + u'): a relative error of the
                                     exponential of u d, and d <= H = ln(4 / eta) wherever r >= eta / 4
shift, in the sum      ln n          sum r_j d_j = entropy(r) - ln S <= ln n; 45 covers n < 2^64
reduction              1.1 (twice)   |t| <= 0.3466: fma rounds k ln2_high (exact) and k ln2_middle
                                     to 0.3466 u each: 0.7; both parts miss ln 2 by 2^-98, times k <= 433
polynomial, remainder  0.4 (twice)   `exp_coefficients`: degree 11, reach 0.3466: 2^-55.2 / exp(-0.3466)
polynomial, rounding   2.5 (twice)   1 for the last addition, 0.6 the fma before it (0.42 / 0.7071),
                                     0.3 for t*t and its product, 0.4 Horner and coefficients
tree sum               15            `sum_height` <= 15 for a block
blocks                 2             sums of blocks are added with TwoSum; its rest is added at the end
reciprocal, product    2             one rounding each
=====================  ============  ======================================================

Twice: once for the element, once for the sum, whose relative error is at most the
largest of its (positive) terms. The sum is H + 72; RELATIVE_SLACK covers products of terms,
below 300^2 u^2 * 20.

Where r < eta / 4, RN(r) = 0, and the residual r / eta < 1/4 is decided as it is positive. Below
exp(-300) the exponential is taken as exp(-300): this changes r / eta, and the sum, by less than n 2^-430.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, fma, pattern, two_sum
from reference.certified.constants import exp_coefficients, ln2_parts
from reference.certified.layout import (
    BLOCK,
    Outputs,
    Rounding,
    classify_rows,
    count_open,
    rows_per_span,
    spread,
    tree_sum,
    withhold_policy_rows,
)
from reference.formats import FloatFormat

__all__ = [
    "COEFFICIENTS",
    "MAX_PRECISION",
    "exp_span",
    "relative_bound",
    "truth_of_long_rows",
    "truth_of_short_rows",
]

MAX_PRECISION: Final = 24
"""The highest precision whose residuals this tier knows to `RESIDUAL_TOLERANCE`."""

RELATIVE_SLACK: Final = 1 + 2.0**-20
COEFFICIENTS: Final = exp_coefficients(11, 0.3466)

_U: Final = 2.0**-53
_LN2: Final = ln2_parts(1, 44)
_PER_LN2: Final = _LN2.reciprocal
_LN2_HIGH: Final = _LN2.high
_LN2_MIDDLE: Final = _LN2.middle
_ROUNDER: Final = 1.5 * 2.0**52
_FLOOR: Final = -300.0
_NEG_INF: Final = -math.inf
_EXPONENT_FIELD: Final = 0x7FF << 52


def relative_bound(fmt: FloatFormat) -> float:
    """Return the bound on the relative error of r derived above."""
    reach = (2 - fmt.quantum_exponent) * math.log(2)
    return (reach + 72) * _U * RELATIVE_SLACK


@compiled
def exp_span(x: Any, shift: Any, c: Any, weights: Any) -> None:
    """Store exp(x - shift); 0 for x = -inf, and at least exp(-300) for finite x."""
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9]
    for i in range(x.size):
        h = x[i] - shift[i]
        h = h if h > _FLOOR else _FLOOR  # noqa: FURB136  (max() keeps NaN's order and does not vectorise)
        shifted = h * _PER_LN2 + _ROUNDER
        k = shifted - _ROUNDER
        t = fma(k, -_LN2_MIDDLE, fma(k, -_LN2_HIGH, h))
        q = fma(t, fma(t, fma(t, fma(t, c9, c8), c7), c6), c5)
        q = fma(t, fma(t, fma(t, fma(t, fma(t, q, c4), c3), c2), c1), c0)
        w = fma(t * t, q, t) + 1.0
        w = float_of(pattern(w) + (pattern(shifted) << FRACTION_BITS))
        weights[i] = w if x[i] > _NEG_INF else 0.0


@compiled
def _round_span(nearest: Any, residual: Any, scale: Any, rounding: Rounding) -> int:
    """Turn the weights in `nearest` into RN(r), with residuals, NaN where undecided; count those.

    With e the exponent of r and q = 2^(max(e, emin) - p + 1), adding and subtracting 2^52 q
    rounds to a multiple of q, ties to even. The powers of two are numbers of the format, so
    wherever the binade is undecided, the residual's sign is.
    """
    precision, bound = np.int64(rounding.precision), rounding.bound
    smallest = np.int64(rounding.emin + 1023) << FRACTION_BITS
    to_adder = (53 - precision) << FRACTION_BITS
    to_inverse = (2045 + precision) << FRACTION_BITS
    undecided = 0
    for i in range(nearest.size):
        r = nearest[i] * scale[i]
        binade = max(pattern(r) & _EXPONENT_FIELD, smallest)
        adder = float_of(binade + to_adder)
        inverse = float_of(to_inverse - binade)
        rounded = (r + adder) - adder
        rest = (r - rounded) * inverse
        width = (r * inverse) * bound
        is_open = (abs(rest) < width) | (abs(rest) > 0.5 - width)
        undecided += int(is_open)
        nearest[i] = rounded
        residual[i] = np.nan if is_open else rest
    return undecided


@compiled
def truth_of_short_rows(x: Any, truth: Outputs, rounding: Rounding, c: Any) -> None:
    """Judge rows of at most BLOCK entries; `Outputs.undecided` counts each row's open elements."""
    n, step = x.shape[1], rows_per_span(x.shape[1])
    span, tree, top, scale = np.empty(step * n), np.empty(n), np.empty(step), np.empty(step)
    for first in range(0, x.shape[0], step):
        last = min(first + step, x.shape[0])
        values, nearest = x[first:last].reshape(-1), truth.nearest[first:last].reshape(-1)
        residual = truth.residual[first:last].reshape(-1)
        classify_rows(x[first:last], top, truth.kinds[first:last])
        spread(top, n, span[: values.size])
        exp_span(values, span, c, nearest)
        for row in range(last - first):
            scale[row] = 1.0 / tree_sum(nearest[row * n : row * n + n], tree)
        withhold_policy_rows(truth.kinds[first:last], scale)
        spread(scale, n, span[: values.size])
        if _round_span(nearest, residual, span, rounding):
            count_open(truth.residual[first:last], truth.kinds[first:last], truth.undecided[first:last])


@compiled
def truth_of_long_rows(x: Any, truth: Outputs, rounding: Rounding, c: Any) -> None:
    """Judge rows of any length, block by block; `Outputs.undecided` counts each row's open elements."""
    span, tree, top = np.empty(BLOCK), np.empty(BLOCK), np.empty(1)
    for row in range(x.shape[0]):
        classify_rows(x[row : row + 1], top, truth.kinds[row : row + 1])
        span[:] = top[0]
        top[0] = 1.0 / _weigh_blocks(x[row], truth.nearest[row], span, c, tree)
        withhold_policy_rows(truth.kinds[row : row + 1], top)
        span[:] = top[0]
        for start in range(0, x.shape[1], BLOCK):
            stop = min(start + BLOCK, x.shape[1])
            nearest, residual = truth.nearest[row, start:stop], truth.residual[row, start:stop]
            truth.undecided[row] += _round_span(nearest, residual, span, rounding)


@compiled
def _weigh_blocks(x: Any, weights: Any, span: Any, c: Any, tree: Any) -> float:
    """Store the weights of a row and return their sum."""
    high = low = 0.0
    for start in range(0, x.size, BLOCK):
        stop = min(start + BLOCK, x.size)
        exp_span(x[start:stop], span, c, weights[start:stop])
        high, rest = two_sum(high, tree_sum(weights[start:stop], tree))
        low += rest
    return high + low
