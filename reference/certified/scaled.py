"""Softmax of scaled rows whose products s x are no float64 numbers, in the double-doubles of `doubledouble`.

With M the greatest of s x_j and, where there is a sink, a, every argument D = s x_i - M is needed to u^2 or
so, u = 2^-53.

* M = s m, m = max x (s > 0): D = s (x_i - m). x_i - m = h + l exactly (TwoSum), s h = p + e exactly (fma),
  and s l is rounded and added to e: D is off by u (|s l| + |e + s l|) <= 3 u^2 |D|.
* M = a: s x_i = p + e exactly, p - a = h + l exactly, e is added to l: off by u |l + e| <= u^2 (|h| + |p|).
  The sink itself has weight 1. Likewise for the sink where M = s m: a - s m. Which of the two is greater is
  the sign of the same sum, which rounding does not change.

Rows in which a product underflows so far that D might be taken for 0, or 0 for D, are mpmath's. Else D is
normalised (TwoSum), and its exponential is `doubledouble.weight` of it. For |D| <= 800, beyond which that
takes it for 800, and so |p| <= |a| + 800, the exponential is off by at most 2400 u^2, or (|a| + 1600) u^2
with a sink, and their sum relatively by as much: `relative_bound` has twice (|a| + 2400) u^2 beside the bound
derived there. The sink is one entry more of the row.

Of the results next to a power of two only those of `edges`' first kind are settled: 2^k entries tie at M. The
rest, and rows in which s m itself overflows, are mpmath's as well.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified import doubledouble
from reference.certified.compiled import FRACTION_BITS, compiled, fma, inlined, two_sum
from reference.certified.doubledouble import (
    SCALE,
    plus,
    reciprocal,
    round_product,
    sum_block,
    weight,
)
from reference.certified.edges import beside_power
from reference.certified.layout import BLOCK, LANES, Outputs, Rounding, classify_row, grid_of
from reference.certified.parallel import deal_rows
from reference.certified.tiers import outputs_of_shape, validate
from reference.formats import FloatFormat
from reference.row_kinds import RowKind

__all__ = [
    "ABSENT",
    "CLOSEST",
    "FARTHEST",
    "MOST",
    "Row",
    "argument",
    "decide_scaled",
    "excess_bound",
    "is_unsure",
    "relative_bound",
    "row_of",
]

_NAN_KIND: Final = int(RowKind.NAN)
_ALL_NEG_INF: Final = int(RowKind.ALL_NEG_INF)
_MASKED: Final = int(RowKind.MASKED)
_NEG_INF: Final = -math.inf
ABSENT: Final = math.nan
"""Stands for no sink."""

_U2: Final = 2.0**-106
FARTHEST: Final = 2.0**900
_SMALLEST: Final = 5e-324
CLOSEST: Final = 2.0**-900
_DEEP: Final = -1000.0
"""Stands for all arguments below it: `weight` takes those below -800 for -800."""

MOST: Final = 2.0**40
"""The greatest sink, in size, whose differences are known well enough."""


class Row(NamedTuple):
    """A row's greatest entry, the settings, and how the sink compares.

    Attributes:
        top: m.
        scale: s.
        sink: a.
        has_sink: whether there is one.
        sinks: whether M = a.
        own: the sink's argument a - M.
        own_rest: its low part.
        unsure: whether it may owe its size to underflow.
    """

    top: float
    scale: float
    sink: float
    has_sink: bool
    sinks: bool
    own: float
    own_rest: float
    unsure: bool


class Weights(NamedTuple):
    """The sum of a row's weights; how many arguments are 0, and the sum of the other weights, times 2^600."""

    head: float
    tail: float
    tied: int
    rest: float
    unsure: bool


def relative_bound(n: int, sink: float | None) -> float:
    """Return the bound on the relative error of r, for n entries and a sink."""
    return doubledouble.relative_bound(n + 1) + excess_bound(sink)


def excess_bound(sink: float | None) -> float:
    """Return how much arguments that are rounded add to the relative error of a weight, or to a sum's."""
    size = 0.0 if sink is None else abs(sink)
    return 2 * (size + 2400) * _U2


def decide_scaled(
    x: NDArray[np.float64], scale: float, sink: float | None, fmt: FloatFormat, jobs: int = 1
) -> Outputs:
    """Return RN(r) and residuals in `fmt` of the softmax of s x with a sink, as far as double-doubles decide.

    Args:
        x: logits of shape (rows, n), in float64.
        scale: s > 0.
        sink: a; None for none.
        fmt: the output format.
        jobs: how many threads share the rows; the result is the same for any number.

    Returns:
        Arrays of shape (rows, n), or (rows, n + 1) with a sink, whose own result comes last. An open element
        has a NaN residual.
    """
    validate(x)
    rows, n = x.shape
    outputs = outputs_of_shape((rows, n + (sink is not None)))
    rounding = Rounding(fmt.precision, fmt.emin, relative_bound(n, sink))
    end = ABSENT if sink is None else sink

    def work(part: slice) -> None:
        mine = Outputs(
            outputs.nearest[part], outputs.residual[part], outputs.kinds[part], outputs.undecided[part]
        )
        _decide(np.require(x[part], requirements=["C", "W"]), scale, end, mine, rounding)

    deal_rows(work, rows, n, jobs)
    return outputs


@inlined
def _gap(value: float, top: float, scale: float) -> tuple[float, float]:
    """Return scale (value - top), normalised; its head is -inf where the value is."""
    head, tail = two_sum(value, -top)
    product = scale * head
    rest = fma(scale, head, -product) + scale * tail
    if product < _DEEP:
        return (_NEG_INF if value == _NEG_INF else _DEEP), 0.0
    return two_sum(product, rest)


@inlined
def _below_sink(value: float, sink: float, scale: float) -> tuple[float, float]:
    """Return scale value - sink, normalised; its head is -inf where the value is."""
    product = scale * value
    head, tail = two_sum(product, -sink)
    tail += fma(scale, value, -product)
    if head < _DEEP:
        return (_NEG_INF if value == _NEG_INF else _DEEP), 0.0
    return two_sum(head, tail)


@inlined
def is_unsure(h: float, value: float, top: float, scale: float, sinks: bool) -> bool:
    """Tell whether an argument may owe its being 0, or next to it, to underflow."""
    tie = (value == 0.0 or abs(scale * value) >= CLOSEST) if sinks else value == top
    return abs(h) < CLOSEST and not (h == 0.0 and tie)


@inlined
def argument(value: float, row: Row) -> tuple[float, float]:
    """Return D of an entry, normalised, `_DEEP` for all below; its head is -inf where the value is."""
    if row.sinks:
        return _below_sink(value, row.sink, row.scale)
    return _gap(value, row.top, row.scale)


@compiled
def _decide(x: Any, scale: float, sink: float, truth: Outputs, rounding: Rounding) -> None:
    """Fill in the rows; `Outputs.undecided` counts each row's open elements."""
    has_sink = not np.isnan(sink)
    lanes, rests = np.empty(LANES), np.empty(LANES)
    for i in range(x.shape[0]):
        top, kind = classify_row(x, i)
        if has_sink and kind == _ALL_NEG_INF:
            kind = _MASKED
        truth.kinds[i], truth.undecided[i] = kind, 0
        truth.nearest[i, :], truth.residual[i, :] = np.nan, np.nan
        if kind >= _NAN_KIND:
            continue
        beyond = (top > _NEG_INF) & (abs(scale * top) > FARTHEST)
        if beyond | (has_sink & (abs(sink) > MOST)):
            truth.undecided[i] = truth.residual.shape[1]
            continue
        row = row_of(top, scale, sink, has_sink)
        weights = _weigh(x, i, row, truth.nearest, truth.residual, lanes, rests)
        if weights.unsure:
            truth.residual[i, :], truth.undecided[i] = np.nan, truth.residual.shape[1]
        else:
            _round(x, i, row, weights, truth, rounding)


@inlined
def row_of(top: float, scale: float, sink: float, has_sink: bool) -> Row:
    """Compare the sink with s m, for the greatest entry m."""
    if not has_sink:
        return Row(top, scale, sink, False, False, 0.0, 0.0, False)
    above, rest = _below_sink(top, sink, scale)
    unsure = (top > _NEG_INF) & is_unsure(above, top, top, scale, True)
    sinks = above <= 0.0
    if sinks:
        return Row(top, scale, sink, True, True, 0.0, 0.0, unsure)
    return Row(top, scale, sink, True, False, -above, -rest, unsure)


@inlined
def _weigh(x: Any, i: int, row: Row, heads: Any, tails: Any, lanes: Any, rests: Any) -> Weights:
    """Store the weights of a row, and return what they come to."""
    n, unsure = x.shape[1], row.unsure
    tied, rest, head, tail = 0, 0.0, 0.0, 0.0
    for start in range(0, n, BLOCK):
        size, part = min(BLOCK, n - start), 0.0
        for j in range(start, start + size):
            h, low = argument(x[i, j], row)
            heads[i, j], tails[i, j] = weight(h, -low)
            unsure |= is_unsure(h, x[i, j], row.top, row.scale, row.sinks)
            tied += int(h == 0.0)
            part += heads[i, j] if h < 0.0 else 0.0
        head, tail = plus(head, tail, *sum_block(heads, tails, i, start, size, lanes, rests))
        rest += part
    if row.has_sink:
        heads[i, n], tails[i, n] = weight(row.own, -row.own_rest)
        tied += int(row.own == 0.0)
        rest += heads[i, n] if row.own < 0.0 else 0.0
        head, tail = plus(head, tail, heads[i, n], tails[i, n])
    return Weights(head, tail, tied, rest, unsure)


@inlined
def _round(x: Any, i: int, row: Row, weights: Weights, truth: Outputs, rounding: Rounding) -> None:
    """Turn the weights of a row into RN(r) and residuals, and count those that are open."""
    grid, full = grid_of(rounding, SCALE), rounding.precision == FRACTION_BITS + 1
    inverse, inverse_rest = reciprocal(weights.head, weights.tail)
    tied, rest = weights.tied, weights.rest
    deviation = -rest * (tied / (tied + math.ldexp(rest, -SCALE)))
    beside, beside_rest = beside_power(tied, deviation, rounding)
    known = (tied & (tied - 1) == 0) & (not np.isnan(beside_rest))
    for j in range(truth.nearest.shape[1]):
        h = row.own
        if j < x.shape[1]:
            h, _ = argument(x[i, j], row)
        nearest, residual = round_product(
            truth.nearest[i, j], truth.residual[i, j], inverse, inverse_rest, grid, full, rounding.bound
        )
        if (
            (nearest == 0.0) & (residual == 0.0) & (h > _NEG_INF)
        ):  # it underflowed, in ulps of a narrow format
            residual = _SMALLEST
        if np.isnan(residual) & (h == 0.0) & known:
            nearest, residual = beside, beside_rest
        truth.nearest[i, j], truth.residual[i, j] = nearest, residual
        truth.undecided[i] += int(np.isnan(residual))
