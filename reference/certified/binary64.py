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
sum of a block         30            short rows: n - 1 <= 30 additions; blocks: 2 to fold, 20 in a lane, 5 to
                                     join the lanes
blocks                 2             their sums are added with TwoSum, its rests at the end
reciprocal, product    2             one rounding each
=====================  ============  ======================================================

Twice: once for the element, once for the sum, whose relative error is at most the
largest of its (positive) terms. The sum is H + 87; RELATIVE_SLACK covers products of terms,
below 300^2 u^2 * 20.

Where r < eta / 4, RN(r) = 0, and the residual r / eta < 1/4 is decided as it is positive. Below
exp(-300) the exponential is taken as exp(-300): this changes r / eta, and the sum, by less than n 2^-430.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, fma, inlined, pattern, two_sum
from reference.certified.constants import exp_coefficients, ln2_parts
from reference.certified.layout import (
    BLOCK,
    LANES,
    Grid,
    Outputs,
    Rounding,
    add_lanes,
    classify_columns,
    classify_row,
    count_open,
    grid_of,
    place,
    rows_per_span,
    sum_of_lanes,
    transpose,
    transpose_back,
)
from reference.formats import FloatFormat
from reference.row_kinds import RowKind

__all__ = [
    "COEFFICIENTS",
    "MAX_PRECISION",
    "relative_bound",
    "truth_of_long_rows",
    "truth_of_short_rows",
]

MAX_PRECISION: Final = 24
"""The highest precision whose residuals this tier knows to `RESIDUAL_TOLERANCE`."""

RELATIVE_SLACK: Final = 1 + 2.0**-20
COEFFICIENTS: Final = tuple(exp_coefficients(11, 0.3466).tolist())

_U: Final = 2.0**-53
_LN2: Final = ln2_parts(1, 44)
_PER_LN2: Final = _LN2.reciprocal
_LN2_HIGH: Final = _LN2.high
_LN2_MIDDLE: Final = _LN2.middle
_ROUNDER: Final = 1.5 * 2.0**52
_FLOOR: Final = -300.0
_NEG_INF: Final = -math.inf
_EXPONENT_FIELD: Final = 0x7FF << 52
_NAN_KIND: Final = int(RowKind.NAN)


def relative_bound(fmt: FloatFormat) -> float:
    """Return the bound on the relative error of r derived above."""
    reach = (2 - fmt.quantum_exponent) * math.log(2)
    return (reach + 87) * _U * RELATIVE_SLACK


@inlined
def weight(value: float, top: float, c: Any) -> float:
    """Return exp(value - top); 0 for value = -inf, and at least exp(-300) for a finite value."""
    h = value - top
    h = h if h > _FLOOR else _FLOOR  # noqa: FURB136  (max() keeps NaN's order and does not vectorise)
    shifted = h * _PER_LN2 + _ROUNDER
    k = shifted - _ROUNDER
    t = fma(k, -_LN2_MIDDLE, fma(k, -_LN2_HIGH, h))
    q = fma(t, fma(t, fma(t, fma(t, c[9], c[8]), c[7]), c[6]), c[5])
    q = fma(t, fma(t, fma(t, fma(t, fma(t, q, c[4]), c[3]), c[2]), c[1]), c[0])
    w = fma(t * t, q, t) + 1.0
    w = float_of(pattern(w) + (pattern(shifted) << FRACTION_BITS))
    return w if value > _NEG_INF else 0.0


@inlined
def _round(r: float, grid: Grid, bound: float) -> tuple[float, float]:
    """Return RN(r) and the residual, NaN where undecided.

    Adding and subtracting 2^52 q rounds to a multiple of q, ties to even. The powers of two are numbers
    of the format, so wherever the binade is undecided, the residual's sign is.
    """
    binade = max(pattern(r) & _EXPONENT_FIELD, grid.smallest)
    adder = float_of(binade + grid.to_adder)
    inverse = float_of(grid.to_inverse - binade)
    rounded = (r + adder) - adder
    rest = (r - rounded) * inverse
    width = (r * inverse) * bound
    is_open = (abs(rest) < width) | (abs(rest) > 0.5 - width)
    return rounded, (np.nan if is_open else rest)


@compiled
def truth_of_short_rows(x: Any, truth: Outputs, rounding: Rounding, c: Any) -> None:
    """Judge rows of fewer than SHORT entries; `Outputs.undecided` counts each row's open elements."""
    n, step = x.shape[1], rows_per_span(x.shape[1])
    largest, smallest = np.empty(step, np.int64), np.empty(step, np.int64)
    top, scale, columns, rests = np.empty(step), np.empty(step), np.empty(step * n), np.empty(step * n)
    for first in range(0, x.shape[0], step):
        last = min(first + step, x.shape[0])
        rows, kinds, residual = last - first, truth.kinds[first:last], truth.residual[first:last]
        transpose(x[first:last], columns)
        classify_columns(columns, rows, n, largest, smallest, top, kinds)
        _weigh_columns(columns, rows, n, top, c)
        _scale_of_columns(columns, rows, n, kinds, scale)
        open_ones = _round_columns(columns, rests, rows, n, scale, rounding)
        transpose_back(columns, truth.nearest[first:last])
        transpose_back(rests, residual)
        if open_ones:
            count_open(residual, kinds, truth.undecided[first:last])


@compiled
def _weigh_columns(columns: Any, rows: int, n: int, top: Any, c: Any) -> None:
    """Turn logits into weights."""
    for j in range(n):
        for row in range(rows):
            i = place(j, row, rows)
            columns[i] = weight(columns[i], top[row], c)


@inlined
def _scale_of_columns(weights: Any, rows: int, n: int, kinds: Any, scale: Any) -> None:
    """Store the reciprocal of each row's sum, NaN for policy rows."""
    scale[:rows] = 0.0
    for j in range(n):
        for row in range(rows):
            scale[row] += weights[place(j, row, rows)]
    for row in range(rows):
        scale[row] = 1.0 / scale[row] if kinds[row] < _NAN_KIND else np.nan


@compiled
def _round_columns(nearest: Any, residual: Any, rows: int, n: int, scale: Any, rounding: Rounding) -> int:
    """Turn the weights in `nearest` into RN(r), with residuals; return how many of them are NaN."""
    grid, bound, open_ones = grid_of(rounding, 0), rounding.bound, 0
    for j in range(n):
        for row in range(rows):
            i = place(j, row, rows)
            nearest[i], residual[i] = _round(nearest[i] * scale[row], grid, bound)
            open_ones += int(np.isnan(residual[i]))
    return open_ones


@compiled
def truth_of_long_rows(x: Any, truth: Outputs, rounding: Rounding, c: Any) -> None:
    """Judge rows of any length, block by block; `Outputs.undecided` counts each row's open elements."""
    lanes = np.empty(LANES)
    for row in range(x.shape[0]):
        top, kind = classify_row(x, row)
        truth.kinds[row] = kind
        scale = 1.0 / _weigh_row(x, row, top, c, truth.nearest, lanes) if kind < _NAN_KIND else np.nan
        open_ones = _round_row(truth.nearest, truth.residual, row, scale, rounding)
        truth.undecided[row] = open_ones if kind < _NAN_KIND else 0


@inlined
def _weigh_row(x: Any, row: int, top: float, c: Any, weights: Any, lanes: Any) -> float:
    """Store the weights of a row and return their sum; those of a block are added in cache."""
    high = low = 0.0
    for start in range(0, x.shape[1], BLOCK):
        size = min(BLOCK, x.shape[1] - start)
        for i in range(size):
            j = np.uint64(start) + np.uint64(i)
            weights[row, j] = weight(x[row, j], top, c)
        lanes[:] = 0.0
        add_lanes(weights, row, start, size, lanes)
        high, rest = two_sum(high, sum_of_lanes(lanes))
        low += rest
    return high + low


@inlined
def _round_row(nearest: Any, residual: Any, row: int, scale: float, rounding: Rounding) -> int:
    """Turn the weights in `nearest` into RN(r), with residuals; return how many of them are NaN."""
    grid, bound, open_ones = grid_of(rounding, 0), rounding.bound, 0
    for j in range(nearest.shape[1]):
        nearest[row, j], residual[row, j] = _round(nearest[row, j] * scale, grid, bound)
        open_ones += int(np.isnan(residual[row, j]))
    return open_ones
