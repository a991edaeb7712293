"""log_softmax and logsumexp of scaled rows whose products s x are no float64 numbers.

The arguments D = s x - M are those of `reference.certified.scaled`, M being the greatest of s x_j and the
sink a, and L = log(c + t) is that of `reference.certified.logarithms`: c arguments are 0, and t is the sum of
the others' exponentials. u = 2^-53.

* L: the weights, and with them t, are off by `scaled.excess_bound` more than there, relatively, and L by no
  more than t. The sink is one entry more.
* log_softmax is -(|D| + L). |D| = h + l is off by 3 u^2 |D| where M = s m, and where M = a by
  u^2 (|h| + |p|) <= u^2 (2 |D| + |a|): `_ARGUMENT` has 4 u^2 (|D| + |a|).
* logsumexp is M + L: M = a, or M = s m = p + e exactly. Of the sum p + e + L only what is below
  3 u^2 (|p| + L) is rounded, by u of it: `_LAST` has 4 u^3.

These absolute errors are given to `round_sum` as a part of a larger L that is off by its bound. Where t is
below 2^-150 and c = 1, L is one of the errors: it is between 0 and 2 t, and known by itself where a result is
L alone. What is exact, as M is, `settle` rounds, and L then decides on which side of it the result lies. What
is still open is for `fixed_logarithms`, then for mpmath.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import FRACTION_BITS, compiled, fma, inlined, two_sum
from reference.certified.double_log import log_of_sum
from reference.certified.doubledouble import SCALE, plus, sum_block, weight
from reference.certified.fixed_logarithms import decide_in_fixed_point
from reference.certified.layout import BLOCK, LANES, Outputs, Rounding, classify_row, grid_of
from reference.certified.log_rounding import SMALLEST, normalised, round_alone, round_sum, settle
from reference.certified.logarithms import plan_for
from reference.certified.parallel import deal_rows
from reference.certified.scaled import (
    ABSENT,
    CLOSEST,
    FARTHEST,
    MOST,
    Row,
    argument,
    excess_bound,
    is_unsure,
    row_of,
)
from reference.certified.tiers import outputs_of_shape, validate
from reference.formats import FloatFormat
from reference.row_kinds import RowKind

__all__ = ["decide_scaled_logarithms"]

_NAN_KIND: Final = int(RowKind.NAN)
_ALL_NEG_INF: Final = int(RowKind.ALL_NEG_INF)
_MASKED: Final = int(RowKind.MASKED)
_NEG_INF: Final = -math.inf
_DOWN: Final = 2.0**-SCALE
_TINY: Final = 2.0**-150
_ARGUMENT: Final = 2.0**-104
_LAST: Final = 2.0**-157
_SLACK: Final = 1.0 + 2.0**-20


class _Log(NamedTuple):
    """L of a row: as a double-double, from above, and t times 2^600 where L is tiny and `head` 0."""

    head: float
    tail: float
    upper: float
    weight: float
    weight_rest: float


def decide_scaled_logarithms(
    x: NDArray[np.float64],
    scale: float,
    sink: float | None,
    fmt: FloatFormat,
    jobs: int = 1,
    *,
    reduces: bool,
) -> Outputs:
    """Return RN(r) and residuals in `fmt` of s x with a sink, as far as compiled kernels decide.

    Args:
        x: logits of shape (rows, n), in float64.
        scale: s > 0.
        sink: a; None for none.
        fmt: the output format.
        jobs: how many threads share the rows; the result is the same for any number.
        reduces: whether of logsumexp; else of log_softmax.

    Returns:
        Arrays of shape (rows, 1), or for log_softmax (rows, n), or (rows, n + 1) with a sink, whose result
        comes last. An open element has a NaN residual.
    """
    validate(x)
    rows, n = x.shape
    outputs = outputs_of_shape((rows, 1 if reduces else n + (sink is not None)))
    plain = plan_for(fmt, n + 1, reduces=reduces).fine
    rounding = plain._replace(bound=plain.bound + excess_bound(sink))
    end = ABSENT if sink is None else sink

    def work(part: slice) -> None:
        mine = Outputs._make(field[part] for field in outputs)
        values = np.require(x[part], requirements=["C", "W"])
        _decide(values, scale, end, mine, rounding, reduces)
        if mine.undecided.any():
            decide_in_fixed_point(values, scale, end, mine, rounding, reduces)

    deal_rows(work, rows, n, jobs)
    return outputs


@compiled
def _decide(x: Any, scale: float, sink: float, outputs: Outputs, rounding: Rounding, reduces: bool) -> None:
    """Fill in the rows; `Outputs.undecided` counts each row's open elements."""
    has_sink = not np.isnan(sink)
    heads, tails = np.empty((1, BLOCK)), np.empty((1, BLOCK))
    lanes, rests = np.empty(LANES), np.empty(LANES)
    for i in range(x.shape[0]):
        top, kind = classify_row(x, i)
        if has_sink and kind == _ALL_NEG_INF:
            kind = _MASKED
        outputs.kinds[i], outputs.undecided[i] = kind, 0
        outputs.nearest[i, :], outputs.residual[i, :] = np.nan, np.nan
        if kind >= _NAN_KIND:
            continue
        outputs.undecided[i] = outputs.residual.shape[1]
        beyond = (top > _NEG_INF) & (abs(scale * top) > FARTHEST)
        if beyond | (has_sink & (abs(sink) > MOST)):
            continue
        row = row_of(top, scale, sink, has_sink)
        log, unsure = _log_of(x, i, row, heads, tails, lanes, rests)
        if not unsure:
            if reduces:
                outputs.undecided[i] = _round_total(outputs, i, row, log, rounding)
            else:
                outputs.undecided[i] = _round_row(x, i, row, log, outputs, rounding)


@inlined
def _log_of(x: Any, i: int, row: Row, heads: Any, tails: Any, lanes: Any, rests: Any) -> tuple[_Log, bool]:
    """Return L of a row, and whether an argument may owe its size to underflow."""
    n, unsure = x.shape[1], row.unsure
    count, head, tail = int(row.has_sink & (row.own == 0.0)), 0.0, 0.0
    if row.has_sink & (row.own < 0.0):
        head, tail = weight(row.own, -row.own_rest)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for k in range(size):
            value = x[i, start + k]
            h, low = argument(value, row)
            unsure |= is_unsure(h, value, row.top, row.scale, row.sinks)
            w, rest = weight(h, -low)
            heads[0, k], tails[0, k] = (w, rest) if h < 0.0 else (0.0, 0.0)
            count += int(h == 0.0)
        head, tail = plus(head, tail, *sum_block(heads, tails, 0, 0, size, lanes, rests))
    if (count == 1) & (head * _DOWN < _TINY):
        upper = head * _DOWN * _SLACK
        if (upper == 0.0) & (head > 0.0):
            upper = SMALLEST
        return _Log(0.0, 0.0, upper, head, tail), unsure
    log, low = log_of_sum(count, head * _DOWN, tail * _DOWN)
    return _Log(log, low, log * _SLACK, head, tail), unsure


# Rounding --------------------------------------------------------------------------------------


@inlined
def _with_log(
    first: float, first_rest: float, log: _Log, spread: float, rounding: Rounding
) -> tuple[float, float, float]:
    """Return RN(|r|), its residual and the sign of r = first + first_rest + L.

    first_rest is at most an ulp of first, and r is off by `spread` beside L's own error. The residual is NaN
    where these leave it open.
    """
    head, middle = two_sum(first, log.head)
    low, lower = two_sum(first_rest, log.tail)
    middle, tail = two_sum(middle, low)
    head, middle = two_sum(head, middle)
    head, middle, tail = normalised(head, middle, tail + lower)
    sign = -1.0 if head < 0.0 else 1.0
    if head == 0.0:
        return 0.0, np.nan, sign
    doubt = spread if log.head > 0.0 else spread + log.upper
    as_log = log.head + doubt / rounding.bound
    full = rounding.precision == FRACTION_BITS + 1
    grid = grid_of(rounding, 0)
    nearest, residual = round_sum(sign * head, sign * middle, sign * tail, as_log, grid, full, rounding.bound)
    return nearest, residual, sign


@inlined
def _round_row(x: Any, i: int, row: Row, log: _Log, outputs: Outputs, rounding: Rounding) -> int:
    """Store RN(r) and residuals of a row's log_softmax, and return how many are open."""
    left = 0
    for j in range(outputs.residual.shape[1]):
        is_sink = j >= x.shape[1]
        value = row.sink if is_sink else x[i, j]
        if value == _NEG_INF:
            outputs.nearest[i, j], outputs.residual[i, j] = _NEG_INF, 0.0
            continue
        h, low, exact = (-row.own, -row.own_rest, False) if is_sink else _gap(value, row)
        if (h == 0.0) & (log.head == 0.0):
            nearest, residual = round_alone(log.weight, log.weight_rest, rounding)
        elif not h < FARTHEST:
            nearest, residual = 0.0, np.nan
        else:
            size = abs(row.sink) if row.has_sink else 0.0
            nearest, residual, _ = _with_log(h, low, log, _ARGUMENT * (h + size), rounding)
            if np.isnan(residual) & exact & (h > 0.0):
                nearest, residual = settle(h, low, log.upper, 1.0, rounding)
        outputs.nearest[i, j], outputs.residual[i, j] = 0.0 - nearest, 0.0 - residual
        left += int(np.isnan(residual))
    return left


@inlined
def _gap(value: float, row: Row) -> tuple[float, float, bool]:
    """Return |D|, normalised, and whether it is exact."""
    if row.sinks:
        product = row.scale * value
        rest = fma(row.scale, value, -product)
        head, tail = two_sum(row.sink, -product)
        low, lower = two_sum(tail, -rest)
        head, low = two_sum(head, low)
        return head, low, (lower == 0.0) & ((value == 0.0) | (abs(product) >= CLOSEST))
    head, tail = two_sum(row.top, -value)
    product = row.scale * head
    rest = fma(row.scale, head, -product)
    head, low = two_sum(product, rest + row.scale * tail)
    return head, low, tail == 0.0


@inlined
def _round_total(outputs: Outputs, i: int, row: Row, log: _Log, rounding: Rounding) -> int:
    """Store RN(r) and the residual of a row's logsumexp, and return 1 where it is open."""
    first, rest = row.sink, 0.0
    if not row.sinks:
        first = row.scale * row.top
        rest = fma(row.scale, row.top, -first)
        if (abs(first) < CLOSEST) & (row.top != 0.0):
            return 1
    if (first == 0.0) & (log.head == 0.0):
        nearest, residual = round_alone(log.weight, log.weight_rest, rounding)
        sign = 1.0
    else:
        nearest, residual, sign = _with_log(first, rest, log, _LAST * (abs(first) + log.head), rounding)
        if np.isnan(residual) & (first != 0.0):
            sign = -1.0 if first < 0.0 else 1.0
            nearest, residual = settle(abs(first), sign * rest, log.upper, sign, rounding)
    outputs.nearest[i, 0], outputs.residual[i, 0] = sign * nearest + 0.0, sign * residual + 0.0
    return int(np.isnan(residual))
