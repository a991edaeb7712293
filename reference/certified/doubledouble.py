"""The fine tier: r as a double-double, enough to decide float64 and what the quick tier left.

For every element: x - max as an exact sum, reduction to |s| <= ln2/1024 with ln 2 in three
parts, a table of 2^(j/512), a short polynomial; weights are kept as 2^600 (h + l), so that the
deepest underflow loses nothing; a compensated sum of bounded height, one reciprocal, one product,
RN to the format, and a test whether the bound below decides it.

The bound, relative to r. With u = 2^-53, in units of 2^-86, for d = max - x <= 800 (beyond, r is below half
of the smallest subnormal of every format, and its weight is taken as exp(-800)):

====================  ========  ==========================================================
term                  at most   why
====================  ========  ==========================================================
x - max               0         h + l by TwoSum (Knuth)
k ln2_high            0         k < 2^20, ln2_high has 33 bits; h - k ln2_high is a multiple of
                                2^-63 below 2^-10, or h itself
k ln2_middle          0         product by fma, difference by TwoSum
u-part of s           0.01      three additions to |l| <= 2^-44: 3 * 2^-97; ln2_low misses 2^-150 * 2^20;
                                FastTwoSum is exact where |s| is the larger, else within 2^-96
series, cut           1.2       after s^6/720: s^7/5040 <= 2^-85.9 (1 + 2^-12)
series, cross terms   0.01      u s^3/6 and u^2/2, |u| <= 2^-63
s^3 R(s)              4.8       |s^3/6| <= 2^-34.1: 2 for s^2 s, 1 for the product with R, 1.2 for R,
                                0.6 for the low parts: at most 5 u 2^-34.1
adding low parts      4.2       ql, the two fma and the two additions below 2^-33.9: 5 u 2^-33.9 / 1
table                 0.1       2^-107 and L * ql <= 2^-54 * 2^-34
normalising           0         FastTwoSum
====================  ========  ==========================================================

That is below 11 for a weight, and at most as much for their sum (all terms are positive). The
compensated sum of a block adds h^2 u^2 < 2^-92 (Ogita, Rump, Oishi, SIAM J. Sci. Comput. 26, 2005,
Sum2; h <= 96 additions for any term), every block 3 u^2 (Joldes, Muller, Popescu, ACM TOMS 44,
2017, AccurateDWPlusDW), the reciprocal and the product at most 16 u^2. In all, 22.1 units and
3 u^2 for each block.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import (
    FRACTION_BITS,
    compiled,
    fast_two_sum,
    float_of,
    fma,
    inlined,
    pattern,
    two_sum,
)
from reference.certified.constants import ln2_parts, powers_of_two
from reference.certified.layout import (
    BLOCK,
    LANES,
    Grid,
    Outputs,
    Rounding,
    classify_columns,
    classify_row,
    count_open,
    grid_of,
    place,
    rows_per_span,
    transpose,
    transpose_back,
)
from reference.row_kinds import RowKind

__all__ = [
    "FLOOR",
    "SCALE",
    "plus",
    "reciprocal",
    "refine",
    "relative_bound",
    "round_product",
    "sum_block",
    "truth_of_long_rows",
    "truth_of_short_rows",
    "weight",
    "weight_with",
]

_STEPS: Final = 512
_STEP_BITS: Final = 9
_STEP_MASK: Final = np.uint64(_STEPS - 1)
_LN2: Final = ln2_parts(_STEPS, 33)
_PER_STEP: Final = _LN2.reciprocal
_LN2_HIGH: Final = _LN2.high
_LN2_MIDDLE: Final = _LN2.middle
_LN2_LOW: Final = _LN2.low
_ROUNDER: Final = 1.5 * 2.0**52
FLOOR: Final = -800.0
"""Below it x - max counts as it."""

_NEG_INF: Final = -math.inf
SCALE: Final = 600
"""Weights are kept as 2^600 exp(x - max)."""

_UP: Final = 2.0**SCALE
_DOWN: Final = 2.0**-SCALE
_ONE_SCALED: Final = (1023 + SCALE) << FRACTION_BITS
_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_NAN_KIND: Final = int(RowKind.NAN)
_JUST_BELOW_HALF: Final = 0.5 - 2.0**-53
_C3: Final = 1 / 6
_C4: Final = 1 / 24
_C5: Final = 1 / 120
_C6: Final = 1 / 720


def relative_bound(n: int) -> float:
    """Return the bound on the relative error of r derived above, for rows of length n."""
    blocks = -(-n // BLOCK)
    return 22.1 * 2.0**-86 + 3 * blocks * 2.0**-106


def weight_with(high: NDArray[np.float64], low: NDArray[np.float64]) -> Callable[..., Any]:
    """Return the kernel of 2^600 exp(value - top) as (head, tail), for a table of 2^(j/512).

    The table is a constant of the compiled code: only then does LLVM know that stores
    leave it unchanged, and vectorises the loops around it.
    """

    def weight(value: float, top: float) -> tuple[float, float]:
        h, low_shift = two_sum(value, -top)
        in_range = h > FLOOR
        h = h if in_range else FLOOR
        low_shift = low_shift if in_range else 0.0
        shifted = h * _PER_STEP + _ROUNDER
        k = shifted - _ROUNDER
        product = k * _LN2_MIDDLE
        s, rest = two_sum(fma(k, -_LN2_HIGH, h), -product)
        rest = fma(k, -_LN2_LOW, (rest - fma(k, _LN2_MIDDLE, -product)) + low_shift)
        s, rest = fast_two_sum(s, rest)
        square = s * s
        square_rest = fma(s, s, -square)
        head, tail = fast_two_sum(s, 0.5 * square)
        series = fma(s, fma(s, fma(s, _C6, _C5), _C4), _C3)
        tail += fma(s * square, series, fma(head, rest, fma(0.5, square_rest, rest)))
        steps = pattern(shifted)
        j = np.uint64(steps) & _STEP_MASK
        table_head = high[j]
        table_tail = low[j]
        product = table_head * head
        product_rest = fma(table_head, head, -product)
        tail = fma(table_tail, head, fma(table_head, tail, product_rest)) + table_tail
        head, product_rest = fast_two_sum(table_head, product)
        head, tail = fast_two_sum(head, tail + product_rest)
        power = float_of(((steps - np.int64(j)) << (FRACTION_BITS - _STEP_BITS)) + _ONE_SCALED)
        power = power if value > _NEG_INF else 0.0
        return head * power, tail * power

    return inlined(weight)


weight: Final = weight_with(*powers_of_two(_STEPS))


@inlined
def reciprocal(head: float, tail: float) -> tuple[float, float]:
    """Return 2^600 / (head + tail), by one Newton step: the error is below 4 u^2."""
    head, tail = head * _DOWN, tail * _DOWN
    inverse = 1.0 / head
    return inverse, fma(-inverse, tail, fma(-inverse, head, 1.0)) * inverse


@inlined
def round_product(
    head: float, tail: float, scale: float, scale_rest: float, grid: Grid, full: bool, bound: float
) -> tuple[float, float]:
    """Return RN(r) and the residual of r = 2^-600 (head + tail) (scale + scale_rest), NaN where undecided.

    The product h + l is normalised, so its binade is that of h, or of h's predecessor where
    l < 0. h is a multiple of its own ulp already; of a coarser quantum q it becomes one by
    adding and subtracting 2^52 q. What l then adds moves the result by one quantum at most.
    Next to 1/2 the residual itself is rounded, by up to 2^-54, which the test allows for.
    """
    product = head * scale
    rest = fma(head, scale, -product)
    rest = fma(tail, scale, fma(head, scale_rest, rest))
    head, tail = fast_two_sum(product, rest)
    binade = (pattern(head) + (pattern(tail) >> 63)) & _EXPONENT_FIELD
    exact = full & (binade >= grid.smallest)
    binade = max(binade, grid.smallest)
    adder = float_of(binade + grid.to_adder)
    inverse = float_of(grid.to_inverse - binade)
    rounded = head if exact else (head + adder) - adder
    rest = ((head - rounded) + tail) * inverse
    step = (1.0 if rest > 0.5 else 0.0) - (1.0 if rest < -0.5 else 0.0)
    rest -= step
    rounded = fma(step, float_of(binade - grid.to_quantum), rounded)
    width = (head * inverse) * bound
    is_open = (abs(rest) < width) | (abs(rest) > _JUST_BELOW_HALF - width)
    return rounded * _DOWN, (np.nan if is_open else rest)


@compiled
def truth_of_short_rows(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Judge rows of fewer than SHORT entries; `Outputs.undecided` counts each row's open elements."""
    n, step = x.shape[1], rows_per_span(x.shape[1])
    largest, smallest = np.empty(step, np.int64), np.empty(step, np.int64)
    top, rest, heads, tails = np.empty(step), np.empty(step), np.empty(step * n), np.empty(step * n)
    for first in range(0, x.shape[0], step):
        last = min(first + step, x.shape[0])
        rows, kinds, residual = last - first, truth.kinds[first:last], truth.residual[first:last]
        transpose(x[first:last], heads)
        classify_columns(heads, rows, n, largest, smallest, top, kinds)
        _weigh_columns(heads, tails, rows, n, top)
        _scale_of_columns(heads, tails, rows, n, kinds, top, rest)
        open_ones = _round_columns(heads, tails, rows, n, top, rest, rounding)
        transpose_back(heads, truth.nearest[first:last])
        transpose_back(tails, residual)
        if open_ones:
            count_open(residual, kinds, truth.undecided[first:last])


@compiled
def _weigh_columns(heads: Any, tails: Any, rows: int, n: int, top: Any) -> None:
    """Turn the logits in `heads` into weights."""
    for j in range(n):
        for row in range(rows):
            i = place(j, row, rows)
            heads[i], tails[i] = weight(heads[i], top[row])


@inlined
def _scale_of_columns(
    heads: Any, tails: Any, rows: int, n: int, kinds: Any, scale: Any, scale_rest: Any
) -> None:
    """Store the reciprocal of each row's sum, NaN for policy rows."""
    scale[:rows], scale_rest[:rows] = 0.0, 0.0
    for j in range(n):
        for row in range(rows):
            i = place(j, row, rows)
            scale[row], rest = two_sum(scale[row], heads[i])
            scale_rest[row] += rest + tails[i]
    for row in range(rows):
        head, tail = reciprocal(*fast_two_sum(scale[row], scale_rest[row]))
        scale[row], scale_rest[row] = (head if kinds[row] < _NAN_KIND else np.nan), tail


@compiled
def _round_columns(
    nearest: Any, residual: Any, rows: int, n: int, scale: Any, scale_rest: Any, rounding: Rounding
) -> int:
    """Turn the weights (nearest, residual) into RN(r) and residuals; return how many of those are NaN."""
    grid, bound, open_ones = grid_of(rounding, SCALE), rounding.bound, 0
    full = rounding.precision == FRACTION_BITS + 1
    for j in range(n):
        for row in range(rows):
            i = place(j, row, rows)
            nearest[i], residual[i] = round_product(
                nearest[i], residual[i], scale[row], scale_rest[row], grid, full, bound
            )
            open_ones += int(np.isnan(residual[i]))
    return open_ones


@compiled
def truth_of_long_rows(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Judge rows of any length, block by block; `Outputs.undecided` counts each row's open elements."""
    lanes, rests = np.empty(LANES), np.empty(LANES)
    for row in range(x.shape[0]):
        top, kind = classify_row(x, row)
        truth.kinds[row] = kind
        head, tail = _weigh_row(x, row, top, truth.nearest, truth.residual, lanes, rests)
        scale, scale_rest = reciprocal(head, tail)
        scale = scale if kind < _NAN_KIND else np.nan
        open_ones = _round_row(truth.nearest, truth.residual, row, scale, scale_rest, rounding)
        truth.undecided[row] = open_ones if kind < _NAN_KIND else 0


@inlined
def _weigh_row(
    x: Any, row: int, top: float, heads: Any, tails: Any, lanes: Any, rests: Any
) -> tuple[float, float]:
    """Store the weights of a row and return their sum; those of a block are added in cache."""
    head = tail = 0.0
    for start in range(0, x.shape[1], BLOCK):
        size = min(BLOCK, x.shape[1] - start)
        for i in range(size):
            j = np.uint64(start) + np.uint64(i)
            heads[row, j], tails[row, j] = weight(x[row, j], top)
        head, tail = plus(head, tail, *sum_block(heads, tails, row, start, size, lanes, rests))
    return head, tail


@compiled
def refine(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Decide what is open of rows that another tier has left so, and nothing else."""
    heads, tails = np.empty((1, BLOCK)), np.empty((1, BLOCK))
    lanes, rests = np.empty(LANES), np.empty(LANES)
    grid, full = grid_of(rounding, SCALE), rounding.precision == FRACTION_BITS + 1
    for row in np.flatnonzero(truth.undecided):
        top, _ = classify_row(x, row)
        head = tail = 0.0
        for start in range(0, x.shape[1], BLOCK):
            size = min(BLOCK, x.shape[1] - start)
            for i in range(size):
                heads[0, i], tails[0, i] = weight(x[row, np.uint64(start) + np.uint64(i)], top)
            head, tail = plus(head, tail, *sum_block(heads, tails, 0, 0, size, lanes, rests))
        scale, scale_rest = reciprocal(head, tail)
        truth.undecided[row] = 0
        for j in range(x.shape[1]):
            if np.isnan(truth.residual[row, j]):
                head, tail = weight(x[row, j], top)
                nearest, residual = round_product(head, tail, scale, scale_rest, grid, full, rounding.bound)
                truth.nearest[row, j], truth.residual[row, j] = nearest, residual
                truth.undecided[row] += int(np.isnan(residual))


@inlined
def plus(head: float, tail: float, more: float, more_tail: float) -> tuple[float, float]:
    """Return the sum of two double-doubles, within 3 u^2 (AccurateDWPlusDW)."""
    head, rest = two_sum(head, more)
    tail, rest_tail = two_sum(tail, more_tail)
    head, rest = fast_two_sum(head, rest + tail)
    return fast_two_sum(head, rest + rest_tail)


@inlined
def sum_block(
    heads: Any, tails: Any, row: int, start: int, size: int, lanes: Any, rests: Any
) -> tuple[float, float]:
    """Return the sum of a block, added with TwoSum in LANES partial sums."""
    lanes[:], rests[:] = 0.0, 0.0
    whole = size - size % LANES
    for first in range(start, start + whole, LANES):
        for lane in range(LANES):
            i = np.uint64(first) + np.uint64(lane)
            lanes[lane], rest = two_sum(lanes[lane], heads[row, i])
            rests[lane] += rest + tails[row, i]
    for j in range(whole, size):
        last, i = np.uint64(j - whole), np.uint64(start) + np.uint64(j)
        lanes[last], rest = two_sum(lanes[last], heads[row, i])
        rests[last] += rest + tails[row, i]
    head = tail = 0.0
    for lane in range(LANES):
        head, rest = two_sum(head, lanes[lane])
        tail += rest + rests[lane]
    return fast_two_sum(head, tail)


@inlined
def _round_row(
    nearest: Any, residual: Any, row: int, scale: float, scale_rest: float, rounding: Rounding
) -> int:
    """Turn the weights (nearest, residual) into RN(r) and residuals; return how many of those are NaN."""
    grid, bound, open_ones = grid_of(rounding, SCALE), rounding.bound, 0
    full = rounding.precision == FRACTION_BITS + 1
    for j in range(nearest.shape[1]):
        nearest[row, j], residual[row, j] = round_product(
            nearest[row, j], residual[row, j], scale, scale_rest, grid, full, bound
        )
        open_ones += int(np.isnan(residual[row, j]))
    return open_ones
