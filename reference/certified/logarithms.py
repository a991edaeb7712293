"""log_softmax and logsumexp, compiled: a logarithm for each row, and one rounding for each result.

With c entries at the maximum and t the sum of the others' exp(x_j - max), L = log(c + t) is positive;
log_softmax is -(d_i + L), d_i = max - x_i, and logsumexp is max + L. t is summed without the maximum's own
terms, so it is known relatively however small it is, and so is L, which cancels nothing. d_i is exact as a
sum of two numbers (TwoSum), so that the error of d_i + L is that of L alone; it is held as a sum of three.

As for softmax there are two tiers, and then `fixed_logarithms` for what cancels. The bound on L, relative:

=====================  ==================================================================================
weights, quick         `binary64`: 1.1 + 0.4 + 2.5 units of u = 2^-53, and u d_j for the shift. With p_j the
                       shares in t, sum p_j d_j = entropy(p) - log t <= 45 + 104, as t >= 2^-150 (below it
                       see the end)
sum, quick             30 + 2 u, as there, and one more for joining the two parts of the sum of blocks
weights, fine          `doubledouble`: 11 * 2^-86; their sum 3 u^2 a block, and 2^-92
log, condition         t / ((c + t) log(c + t)) <= 1: what t is wrong by, L is wrong by at most
log, of m 2^k          k log 2 and -log c_j are within 2^-98 of themselves (log 2 in two parts, k < 64), and
                       are added within 3 u^2 each (AccurateDWPlusDW)
log1p(f), f <= 2^-8    2 artanh(s), s = f / (2 + f) <= 2^-9 within 6 u^2: the series in z = s^2 is cut after
                       z^5, z^6 / 13 < 2^-111; z / 3 is a double-double; z^2 (1/5 + ..) <= 2^-38.3 has 4 u:
                       2^-89.3. f is exact to 2^-106: c_j m by fma, less 1 (Sterbenz)
=====================  ==================================================================================

That is below 190 u, and below 11.5 * 2^-86 + 3 u^2 for each block. Adding three numbers rounds in the last
place of the third: all sums but that with the low part of L are exact, and that is off by at most 3 u^2 L,
for which the fine bound has room (12).

Where L is below 2^-150, one entry dominates, and the others are at d > 100. Its own result is L, rounded by
itself. Of another, L decides no more than on which side of d_i the result lies, as long as d_i is on the
format's grid, half way, or further from both than L is: `settle` decides so, where d_i is huge too.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference import logarithms
from reference.certified import binary64
from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern, two_sum
from reference.certified.double_log import log_of_sum
from reference.certified.doubledouble import SCALE, plus, sum_block, weight
from reference.certified.fixed_logarithms import decide_in_fixed_point
from reference.certified.layout import (
    BLOCK,
    LANES,
    Outputs,
    Rounding,
    add_lanes,
    classify_row,
    grid_of,
    sum_of_lanes,
)
from reference.certified.log_rounding import SMALLEST, WIDEST, normalised, round_alone, round_sum, settle
from reference.certified.parallel import deal_rows
from reference.certified.tiers import validate
from reference.formats import FloatFormat
from reference.model import Truth
from reference.row_kinds import RowKind

__all__ = [
    "LogPlan",
    "decide_logarithms",
    "last_resort",
    "plan_for",
    "truth_by_plan",
    "truth_of_log_softmax",
    "truth_of_logsumexp",
]

_U: Final = 2.0**-53
_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_NAN_KIND: Final = int(RowKind.NAN)
_NEG_INF: Final = -math.inf
_DOWN: Final = 2.0**-SCALE

_TINY: Final = 2.0**-150
"""Below it L only tells on which side of d a result lies."""


class LogPlan(NamedTuple):
    """How rows of some length are to be decided for some format, and whether they have one result each."""

    starts_quick: bool
    reduces: bool
    quick: Rounding
    fine: Rounding
    coefficients: tuple[float, ...]


def truth_of_log_softmax(x: NDArray[np.float64], fmt: FloatFormat, jobs: int = 1) -> Truth:
    """Return what `reference.logarithms.truth_of_log_softmax` does, on so many threads.

    Raises:
        ValueError: the rows have no entries, x is not two-dimensional, or jobs < 1.
    """
    return _truth(x, fmt, jobs, reduces=False)


def truth_of_logsumexp(x: NDArray[np.float64], fmt: FloatFormat, jobs: int = 1) -> Truth:
    """Return what `reference.logarithms.truth_of_logsumexp` does, on so many threads.

    Raises:
        ValueError: the rows have no entries, x is not two-dimensional, or jobs < 1.
    """
    return _truth(x, fmt, jobs, reduces=True)


def plan_for(fmt: FloatFormat, n: int, *, reduces: bool) -> LogPlan:
    """Return where rows of length n start for a format, and the bounds that decide."""
    quick = Rounding(fmt.precision, fmt.emin, 190 * _U * binary64.RELATIVE_SLACK)
    fine = Rounding(fmt.precision, fmt.emin, 12 * 2.0**-86 + 3 * -(-n // BLOCK) * 2.0**-106)
    return LogPlan(fmt.precision <= binary64.MAX_PRECISION, reduces, quick, fine, binary64.COEFFICIENTS)


def _truth(x: NDArray[np.float64], fmt: FloatFormat, jobs: int, *, reduces: bool) -> Truth:
    validate(x)
    return truth_by_plan(x, fmt, plan_for(fmt, x.shape[1], reduces=reduces), jobs)


def truth_by_plan(x: NDArray[np.float64], fmt: FloatFormat, plan: LogPlan, jobs: int = 1) -> Truth:
    """Return the truth about rows of the length that a plan was made for."""
    rows, n = x.shape
    shape = rows, 1 if plan.reduces else n
    outputs = Outputs(np.empty(shape), np.empty(shape), np.empty(rows, np.uint8), np.zeros(rows, np.int64))

    def work(part: slice) -> int:
        mine = Outputs._make(field[part] for field in outputs)
        values = np.require(x[part], requirements=["C", "W"])
        decide_logarithms(values, mine, plan)
        if mine.undecided.any():
            decide_in_fixed_point(values, 1.0, math.nan, mine, plan.fine, plan.reduces)
        return last_resort(values, mine, fmt, reduces=plan.reduces)

    fallbacks = sum(deal_rows(work, rows, n, jobs))
    return Truth(fmt, outputs.nearest, outputs.residual, outputs.kinds, fallbacks)


def last_resort(x: NDArray[np.float64], outputs: Outputs, fmt: FloatFormat, *, reduces: bool) -> int:
    """Let mpmath decide what is still open, and return how many results that was."""
    rows = np.flatnonzero(outputs.undecided)
    if rows.size:
        by_mpmath = logarithms.truth_of_logsumexp if reduces else logarithms.truth_of_log_softmax
        truth = by_mpmath(x[rows], fmt)
        is_open = np.isnan(outputs.residual[rows])
        outputs.nearest[rows] = np.where(is_open, truth.nearest, outputs.nearest[rows])
        outputs.residual[rows] = np.where(is_open, truth.residual, outputs.residual[rows])
    return int(outputs.undecided.sum())


@compiled
def decide_logarithms(x: Any, outputs: Outputs, plan: LogPlan) -> None:
    """Decide (rows, n) logits as far as the compiled tiers can; open results have a NaN residual."""
    heads, tails = np.empty((1, BLOCK)), np.empty((1, BLOCK))
    lanes, rests = np.empty(LANES), np.empty(LANES)
    for row in range(x.shape[0]):
        top, kind = classify_row(x, row)
        outputs.kinds[row] = kind
        outputs.undecided[row] = 0
        outputs.residual[row, :] = np.nan
        if kind >= _NAN_KIND:
            outputs.nearest[row, :] = np.nan
            continue
        if plan.starts_quick:
            count, head = _rest_in_binary64(x, row, top, plan.coefficients, heads, lanes)
            _decide_row(x, outputs, row, top, count, head, 0.0, plan.quick, plan.reduces)
            if outputs.undecided[row] == 0:
                continue
        count, head, tail = _rest(x, row, top, heads, tails, lanes, rests)
        _decide_row(x, outputs, row, top, count, head, tail, plan.fine, plan.reduces)


@inlined
def _rest_in_binary64(x: Any, row: int, top: float, c: Any, weights: Any, lanes: Any) -> tuple[int, float]:
    """Return how many entries are the maximum, and 2^600 times the sum of the others' weights."""
    high, low, count = 0.0, 0.0, 0
    for start in range(0, x.shape[1], BLOCK):
        size = min(BLOCK, x.shape[1] - start)
        for i in range(size):
            value = x[row, np.uint64(start) + np.uint64(i)]
            w = binary64.weight(value, top, c)
            weights[0, i] = w if value < top else 0.0
            count += int(value == top)
        lanes[:] = 0.0
        add_lanes(weights, 0, 0, size, lanes)
        high, rest = two_sum(high, sum_of_lanes(lanes))
        low += rest
    return count, (high + low) * 2.0**SCALE


@inlined
def _rest(
    x: Any, row: int, top: float, heads: Any, tails: Any, lanes: Any, rests: Any
) -> tuple[int, float, float]:
    """Return how many entries are the maximum, and 2^600 times the sum of the others' weights."""
    head, tail, count = 0.0, 0.0, 0
    for start in range(0, x.shape[1], BLOCK):
        size = min(BLOCK, x.shape[1] - start)
        for i in range(size):
            value = x[row, np.uint64(start) + np.uint64(i)]
            w, low = weight(value, top)
            heads[0, i] = w if value < top else 0.0
            tails[0, i] = low if value < top else 0.0
            count += int(value == top)
        head, tail = plus(head, tail, *sum_block(heads, tails, 0, 0, size, lanes, rests))
    return count, head, tail


@compiled
def _decide_row(
    x: Any, outputs: Outputs, row: int, top: float, count: int, head: float, tail: float,
    rounding: Rounding, reduces: bool,
) -> None:  # fmt: skip
    """Decide what is open of a row, t being 2^-600 (head + tail)."""
    is_tiny = (count == 1) & (head * _DOWN < _TINY)
    if is_tiny:
        log, low, upper = 0.0, 0.0, head * _DOWN * (1.0 + 2.0**-20) if head > 0.0 else 0.0
        upper = upper if (upper > 0.0) | (head == 0.0) else SMALLEST
    else:
        log, low = log_of_sum(count, head * _DOWN, tail * _DOWN)
        upper = log * (1.0 + 2.0**-20)
    if reduces:
        _decide_sum(outputs, row, top, log, low, upper, head, tail, rounding)
    else:
        open_ones = x.shape[1]
        if (not is_tiny) & (rounding.bound > _U):
            open_ones = _round_gaps_in_binary64(x, outputs, row, top, log, rounding)
        elif not is_tiny:
            _round_gaps(x, outputs.nearest, outputs.residual, row, top, log, low, rounding)
        if open_ones > 0:
            _settle_gaps(x, outputs, row, top, upper, head, tail, rounding, is_tiny)


# Rounding --------------------------------------------------------------------------------------


@inlined
def _round_gaps_in_binary64(
    x: Any, outputs: Outputs, row: int, top: float, log: float, rounding: Rounding
) -> int:
    """Do as `_round_gaps` of at most 24 bits, in binary64 alone; return how many are open.

    r = fl(fl(d) + L) is off from d + L by u d and u r for its roundings, and by u L for the low part of L,
    which is left out. With d + L <= r (1 + u) that is less than 2.5 u r, besides the bound on L. An r that
    may lie on either side of a power of two has a residual near 0, and is open. So is one whose binade is so
    high that its rounding leaves float64, where `rest` is NaN.
    """
    grid, nearest, residual = grid_of(rounding, 0), outputs.nearest, outputs.residual
    doubt, open_ones = log * rounding.bound, 0
    for j in range(x.shape[1]):
        value = x[row, j]
        r = (top - value) + log
        binade = max(pattern(r) & _EXPONENT_FIELD, grid.smallest)
        adder, inverse = float_of(binade + grid.to_adder), float_of(grid.to_inverse - binade)
        rounded = (r + adder) - adder
        rest = (r - rounded) * inverse
        width = (doubt + r * (2.5 * _U)) * inverse
        is_open = not ((abs(rest) > width) & (0.5 - abs(rest) > width) & (width <= WIDEST))
        masked = value == _NEG_INF
        open_ones += int(is_open & (not masked))
        nearest[row, j] = _NEG_INF if masked else 0.0 - rounded
        residual[row, j] = 0.0 if masked else (np.nan if is_open else 0.0 - rest)
    return open_ones


@inlined
def _round_gaps(
    x: Any, nearest: Any, residual: Any, row: int, top: float, log: float, low: float, rounding: Rounding
) -> None:
    """Store RN(r) and residuals of r = -(top - x + log), NaN where open."""
    grid, full, bound = grid_of(rounding, 0), rounding.precision == FRACTION_BITS + 1, rounding.bound
    for j in range(x.shape[1]):
        value = x[row, j]
        gap, gap_low = two_sum(top, -value)
        head, middle = two_sum(gap, log)
        middle, tail = two_sum(middle, gap_low)
        head, middle, tail = normalised(head, middle, tail + low)
        rounded, rest = round_sum(head, middle, tail, log, grid, full, bound)
        masked = value == _NEG_INF
        nearest[row, j] = _NEG_INF if masked else 0.0 - rounded
        residual[row, j] = 0.0 if masked else 0.0 - rest


@inlined
def _settle_gaps(
    x: Any, outputs: Outputs, row: int, top: float, upper: float, head: float, tail: float,
    rounding: Rounding, is_tiny: bool,
) -> None:  # fmt: skip
    """Settle the open results of a row, and count what is left.

    Of a tiny log the result of the maximum is the log.
    """
    open_ones = 0
    for j in range(x.shape[1]):
        if not np.isnan(outputs.residual[row, j]):
            continue
        value = x[row, j]
        if value == _NEG_INF:
            outputs.nearest[row, j], outputs.residual[row, j] = _NEG_INF, 0.0
            continue
        if value == top:
            rounded, rest = round_alone(head, tail, rounding) if is_tiny else (0.0, np.nan)
        else:
            gap, gap_low = two_sum(top, -value)
            rounded, rest = settle(gap, gap_low, upper, 1.0, rounding)
        outputs.nearest[row, j], outputs.residual[row, j] = 0.0 - rounded, 0.0 - rest
        open_ones += int(np.isnan(rest))
    outputs.undecided[row] = open_ones


@inlined
def _decide_sum(
    outputs: Outputs, row: int, top: float, log: float, low: float, upper: float, head: float, tail: float,
    rounding: Rounding,
) -> None:  # fmt: skip
    """Store RN(r) and the residual of r = top + log, NaN where open."""
    rounded, rest, sign = 0.0, np.nan, 1.0
    if log > 0.0:
        first, middle = two_sum(top, log)
        middle, last = two_sum(middle, low)  # the sum may cancel, and what was its last part become its first
        first, middle = two_sum(first, middle)
        middle, last = two_sum(middle, last)
        sign = -1.0 if first < 0.0 else 1.0
        first, middle, last = sign * first, sign * middle, sign * last
        if first > 0.0:
            full = rounding.precision == FRACTION_BITS + 1
            rounded, rest = round_sum(first, middle, last, log, grid_of(rounding, 0), full, rounding.bound)
    if np.isnan(rest):
        if (log == 0.0) & (top == 0.0):
            rounded, rest = round_alone(head, tail, rounding)
        else:
            sign = -1.0 if top < 0.0 else 1.0
            rounded, rest = settle(abs(top), 0.0, upper, sign, rounding)
    outputs.nearest[row, 0] = sign * rounded + 0.0
    outputs.residual[row, 0] = sign * rest + 0.0
    outputs.undecided[row] = int(np.isnan(rest))
