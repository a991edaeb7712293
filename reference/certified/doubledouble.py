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
compensated tree adds h^2 u^2 + h u^2 < 2^-97 (h <= 15: Ogita, Rump, Oishi, 2005, for the sum of the
rests), every block 3 u^2 (Joldes, Muller, Popescu, 2017, AccurateDWPlusDW), the reciprocal and the product
at most 16 u^2. In all, 22.1 units and 3 u^2 for each block.
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
    pattern,
    two_sum,
)
from reference.certified.constants import ln2_parts, powers_of_two
from reference.certified.layout import (
    BLOCK,
    Outputs,
    Rounding,
    classify_rows,
    count_open,
    rows_per_span,
    spread,
    withhold_policy_rows,
)

__all__ = [
    "FLOOR",
    "SCALE",
    "exp_span",
    "exp_span_with",
    "relative_bound",
    "truth_of_long_rows",
    "truth_of_short_rows",
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
_JUST_BELOW_HALF: Final = 0.5 - 2.0**-53
_C3: Final = 1 / 6
_C4: Final = 1 / 24
_C5: Final = 1 / 120
_C6: Final = 1 / 720


def relative_bound(n: int) -> float:
    """Return the bound on the relative error of r derived above, for rows of length n."""
    blocks = -(-n // BLOCK)
    return 22.1 * 2.0**-86 + 3 * blocks * 2.0**-106


def exp_span_with(high: NDArray[np.float64], low: NDArray[np.float64]) -> Callable[..., None]:
    """Return the kernel of 2^600 exp(x - shift) for a table of 2^(j/512).

    The table is a constant of the compiled code: only then does LLVM know that the stores
    leave it unchanged, and vectorises the loop.
    """

    def exp_span(x: Any, shift: Any, heads: Any, tails: Any) -> None:
        for i in range(x.size):
            h, low_shift = two_sum(x[i], -shift[i])
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
            power = power if x[i] > _NEG_INF else 0.0
            heads[i] = head * power
            tails[i] = tail * power

    return compiled(exp_span)


exp_span: Final = exp_span_with(*powers_of_two(_STEPS))


@compiled
def tree_sum(heads: Any, tails: Any, tree: Any, rests: Any) -> tuple[float, float]:
    """Return the sum of at most BLOCK double-doubles, by halving with TwoSum at every node."""
    size = heads.size
    half = (size + 1) // 2
    for j in range(size - half):
        tree[j], rest = two_sum(heads[j], heads[half + j])
        rests[j] = (tails[j] + tails[half + j]) + rest
    for j in range(size - half, half):
        tree[j], rests[j] = heads[j], tails[j]
    while half > 1:
        size = half
        half = (size + 1) // 2
        for j in range(size - half):
            tree[j], rest = two_sum(tree[j], tree[half + j])
            rests[j] = (rests[j] + rests[half + j]) + rest
    return fast_two_sum(tree[0], rests[0])


@compiled
def _reciprocal(head: float, tail: float) -> tuple[float, float]:
    """Return 2^600 / (head + tail), by one Newton step: the error is below 4 u^2."""
    head, tail = head * _DOWN, tail * _DOWN
    inverse = 1.0 / head
    return inverse, fma(-inverse, tail, fma(-inverse, head, 1.0)) * inverse


@compiled
def _round_span(nearest: Any, residual: Any, scale: Any, scale_rest: Any, rounding: Rounding) -> int:
    """Turn the weights in (nearest, residual) into RN(r) and residuals, NaN where undecided; count those.

    r = h + l is normalised, so its exponent is that of h, or of h's predecessor where l < 0.
    h is a multiple of its own ulp already; of a coarser quantum q it becomes one by adding
    and subtracting 2^52 q. What l then adds moves the result by one quantum at most.
    """
    precision, bound = np.int64(rounding.precision), rounding.bound
    smallest = np.int64(rounding.emin + 1023 + SCALE) << FRACTION_BITS
    to_adder = (53 - precision) << FRACTION_BITS
    to_quantum = (precision - 1) << FRACTION_BITS
    to_inverse = (2045 + precision) << FRACTION_BITS
    full = precision == FRACTION_BITS + 1
    undecided = 0
    for i in range(nearest.size):
        w, a = nearest[i], scale[i]
        product = w * a
        tail = fma(w, a, -product)
        tail = fma(residual[i], a, fma(w, scale_rest[i], tail))
        head, tail = fast_two_sum(product, tail)
        binade = (pattern(head) + (pattern(tail) >> 63)) & _EXPONENT_FIELD
        exact = full & (binade >= smallest)
        binade = max(binade, smallest)
        adder = float_of(binade + to_adder)
        inverse = float_of(to_inverse - binade)
        rounded = head if exact else (head + adder) - adder
        rest = ((head - rounded) + tail) * inverse
        step = (1.0 if rest > 0.5 else 0.0) - (1.0 if rest < -0.5 else 0.0)
        rest -= step
        rounded = fma(step, float_of(binade - to_quantum), rounded)
        width = (head * inverse) * bound
        is_open = (abs(rest) < width) | (abs(rest) > _JUST_BELOW_HALF - width)
        undecided += int(is_open)
        nearest[i] = rounded * _DOWN
        residual[i] = np.nan if is_open else rest
    return undecided


@compiled
def truth_of_short_rows(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Judge rows of at most BLOCK entries; `Outputs.undecided` counts each row's open elements."""
    n, step = x.shape[1], rows_per_span(x.shape[1])
    span, span_rest = np.empty(step * n), np.empty(step * n)
    tree, rests, top, scale, scale_rest = (
        np.empty(n),
        np.empty(n),
        np.empty(step),
        np.empty(step),
        np.empty(step),
    )
    for first in range(0, x.shape[0], step):
        last = min(first + step, x.shape[0])
        values, nearest = x[first:last].reshape(-1), truth.nearest[first:last].reshape(-1)
        residual = truth.residual[first:last].reshape(-1)
        classify_rows(x[first:last], top, truth.kinds[first:last])
        spread(top, n, span[: values.size])
        exp_span(values, span, nearest, residual)
        for row in range(last - first):
            entries = slice(row * n, row * n + n)
            head, tail = tree_sum(nearest[entries], residual[entries], tree, rests)
            scale[row], scale_rest[row] = _reciprocal(head, tail)
        withhold_policy_rows(truth.kinds[first:last], scale)
        spread(scale, n, span[: values.size])
        spread(scale_rest, n, span_rest[: values.size])
        if _round_span(nearest, residual, span, span_rest, rounding):
            count_open(truth.residual[first:last], truth.kinds[first:last], truth.undecided[first:last])


@compiled
def truth_of_long_rows(x: Any, truth: Outputs, rounding: Rounding) -> None:
    """Judge rows of any length, block by block; `Outputs.undecided` counts each row's open elements."""
    span, span_rest, tree, rests = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    top = np.empty(1)
    for row in range(x.shape[0]):
        classify_rows(x[row : row + 1], top, truth.kinds[row : row + 1])
        span[:] = top[0]
        head, tail = _weigh_blocks(x[row], truth.nearest[row], truth.residual[row], span, tree, rests)
        top[0], rest = _reciprocal(head, tail)
        withhold_policy_rows(truth.kinds[row : row + 1], top)
        span[:] = top[0]
        span_rest[:] = rest
        for start in range(0, x.shape[1], BLOCK):
            stop = min(start + BLOCK, x.shape[1])
            nearest, residual = truth.nearest[row, start:stop], truth.residual[row, start:stop]
            truth.undecided[row] += _round_span(nearest, residual, span, span_rest, rounding)


@compiled
def _weigh_blocks(x: Any, heads: Any, tails: Any, span: Any, tree: Any, rests: Any) -> tuple[float, float]:
    """Store the weights of a row and return their sum."""
    head = tail = 0.0
    for start in range(0, x.size, BLOCK):
        stop = min(start + BLOCK, x.size)
        exp_span(x[start:stop], span, heads[start:stop], tails[start:stop])
        block_head, block_tail = tree_sum(heads[start:stop], tails[start:stop], tree, rests)
        head, rest = two_sum(head, block_head)
        tail, rest_tail = two_sum(tail, block_tail)
        head, rest = fast_two_sum(head, rest + tail)
        head, tail = fast_two_sum(head, rest + rest_tail)
    return head, tail
