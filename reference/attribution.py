"""Why a row failed, told from what the candidate says that it exponentiates.

A row that `reference.errors` calls failed gets the first of these that fits, t being the declared argument
(for `unknown`, that of the plain or of the shifted form), emin, Omega and G those of the arithmetic:

* total underflow: every output is 0 or nonfinite, and exp(max t) < 2^emin;
* overflow: every output is 0 or nonfinite, and sum exp(t), or a step that forms t, exceeds Omega / G;
  for a running maximum the sum of some prefix against that prefix's maximum. Or the candidate
  saturates, the row is inflated and sum exp(t) exceeds Omega;
* inaccurate: collapsed or inflated with finite outputs that are not 0;
* unexplained: the rest.

Of an op whose results do not vanish, "0 or nonfinite" is nonfinite: a log_softmax of 0 is like any other.

G is `reference.bounds.growth`: below Omega / G the declared algorithm cannot overflow. Who
declares none gets the loosest: an exp good to 3 ULP, summed one by one.

Of a fused kernel x is s x, rounded to float64 where it is none, with the sink at its end, and s x itself is a
step. A kernel that shifts by the maximum of the logits alone exponentiates a - max s x too. In a format
without infinities t log2 e is a step as well, where the algorithm takes exp2, and x - max before scaling.

Every comparison is decided, by the exact softmax where binary64 leaves a doubt
(`reference.bounds.extremes`), so that outcomes are the same on every platform.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds import growth, working_format
from reference.bounds.arguments import rescalings
from reference.bounds.elementary import LOG2E_ABOVE, LOG2E_HIGH, expm1_above
from reference.bounds.extremes import Limits, steps_exceed, sums_exceed, tops_below
from reference.certified.extinct import extinct_rows
from reference.declaration import Algorithm, Argument, Declaration
from reference.errors import RowFailure
from reference.formats import FloatFormat
from reference.fused import Fused
from reference.model import Truth
from reference.ops import SOFTMAX, Op

__all__ = ["RowOutcome", "attribute", "hedge"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_LOOSEST: Final = Algorithm("undeclared", "unknown", 3.0, "sequential")


class RowOutcome(IntEnum):
    """What became of a row."""

    OK = 0
    TOTAL_UNDERFLOW = 1
    OVERFLOW = 2
    INACCURATE = 3
    UNEXPLAINED = 4
    POLICY = 5


def attribute(
    x: Floats,
    y: NDArray[Any],
    truth: Truth,
    failure: NDArray[np.uint8],
    declaration: Declaration,
    fmt_in: FloatFormat,
    op: Op = SOFTMAX,
) -> NDArray[np.uint8]:
    """Return the `RowOutcome` of each row, uint8 of shape (rows,).

    Args:
        x: logits of shape (rows, n), numbers of `fmt_in`.
        y: the outputs, an array of the truth's format or its values, of the truth's shape.
        truth: the truth about x.
        failure: the `RowFailure` of each row of y.
        declaration: what the candidate says of itself.
        fmt_in: the input format; the arithmetic, where no algorithm is declared.
        op: what the candidate computes.
    """
    outcomes = np.full(len(x), RowOutcome.OK, dtype=np.uint8)
    outcomes[failure == RowFailure.POLICY] = RowOutcome.POLICY
    failed = np.flatnonzero((failure != RowFailure.NONE) & (failure != RowFailure.POLICY))
    if failed.size:
        case = _case(declaration, fmt_in, truth.format, op)
        extinct = extinct_rows(y, truth.format, failed, vanishes=case.vanishes)
        with np.errstate(all="ignore"):
            outcomes[failed] = _explain(x, failed, extinct, failure[failed], case)
    return outcomes


def hedge(outcome: RowOutcome, y: Floats, declaration: Declaration) -> str:
    """Say what a row supports of its outcome, where the candidate does not say what it exponentiates.

    Total underflow of an undeclared argument is that of the plain form. A shift by the maximum gives
    exp(0) = 1, so that a candidate which shifts has another fault, and one row cannot tell which of the two
    it does. A sum that underflows to 0 makes 0 / 0 of every output: zeros come of a guarded division, or of a
    sum of inf.

    Args:
        outcome: of the row.
        y: its outputs, values of shape (n,).
        declaration: what the candidate says of itself.
    """
    if outcome != RowOutcome.TOTAL_UNDERFLOW or declaration.argument != "unknown":
        return ""
    zeros = "; outputs of 0 come of a sum of inf, or of a guarded division" if np.isfinite(y).all() else ""
    return (
        f"total underflow if it exponentiates x, another fault if it subtracts the maximum first{zeros};"
        " declare its argument to have that judged"
    )


@dataclass(frozen=True)
class _Case:
    """What a candidate may blame: its arguments, in its arithmetic."""

    arguments: tuple[Argument, ...]
    constant: float
    algorithm: Algorithm
    arithmetic: FloatFormat
    saturating: bool
    vanishes: bool
    fused: Fused


def _case(declaration: Declaration, fmt_in: FloatFormat, fmt_out: FloatFormat, op: Op = SOFTMAX) -> _Case:
    declared = declaration.algorithm
    arithmetic = fmt_in if declared is None else working_format(declared, fmt_in, fmt_out)
    unknown = declaration.argument == "unknown"
    return _Case(
        arguments=("plain", "shifted") if unknown else (declaration.argument,),
        constant=_constant(declaration, arithmetic),
        algorithm=_LOOSEST if declared is None else declared,
        arithmetic=arithmetic,
        saturating=declaration.saturating,
        vanishes=op.underflows,
        fused=op.fused,
    )


def _constant(declaration: Declaration, arithmetic: FloatFormat) -> float:
    """Return c as the arithmetic holds it; 0 unless it is added."""
    c = declaration.constant if declaration.argument == "constant" else 0.0
    return float(arithmetic.to_float64(arithmetic.from_float64(c)))


def _explain(
    x: Floats, failed: NDArray[np.intp], extinct: Flags, failure: NDArray[np.uint8], case: _Case
) -> NDArray[np.uint8]:
    """Return the outcomes of failed rows of x: an earlier fact is overruled by a later one."""
    inflated = failure == RowFailure.INFLATED
    outcomes = np.full(len(failed), RowOutcome.UNEXPLAINED, dtype=np.uint8)
    outcomes[((failure == RowFailure.COLLAPSED) | inflated) & ~extinct] = RowOutcome.INACCURATE
    saturated = np.flatnonzero(inflated & case.saturating)
    gone = np.flatnonzero(extinct)
    if saturated.size:
        exceeding = _saturation(_moved(x, failed[saturated], case), case)
        outcomes[saturated[exceeding]] = RowOutcome.OVERFLOW
    if gone.size:
        logits = _moved(x, failed[gone], case)
        underflow = _underflow(logits, case)
        outcomes[gone[underflow]] = RowOutcome.TOTAL_UNDERFLOW
        outcomes[gone[_overflow(logits, ~underflow, case)]] = RowOutcome.OVERFLOW
    return outcomes


def _moved(x: Floats, rows: NDArray[np.intp], case: _Case) -> Floats:
    """Return s x of some rows, with the sink."""
    logits = _of_rows(x, rows)
    return case.fused.floats(logits)[0] if case.fused.moves else logits


def _underflow(x: Floats, case: _Case) -> Flags:
    """Tell where all exponentials are below the normal range; not so of a shift by a maximum: exp(0) = 1."""
    if not any(argument in ("plain", "constant") for argument in case.arguments):
        return np.zeros(len(x), dtype=np.bool_)
    return tops_below(x, case.constant, case.arithmetic.emin)


def _overflow(x: Floats, asked: Flags, case: _Case) -> Flags:
    """Tell which of the rows that are asked about overflow."""
    found = np.zeros(len(x), dtype=np.bool_)
    for argument in case.arguments:
        for exceeds in (_by_sum, _by_step, _by_setting, _by_product):
            rows = np.flatnonzero(asked & ~found)
            if rows.size:
                found[rows] = exceeds(_of_rows(x, rows), argument, case)
    return found


def _of_rows(x: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return some rows of a batch; all of them without a copy."""
    return x if rows.size == len(x) else x[rows]


def _by_sum(x: Floats, argument: Argument, case: _Case) -> Flags:
    return sums_exceed(x, argument, case.constant, _limits(x, argument, case))


def _by_step(x: Floats, argument: Argument, case: _Case) -> Flags:
    return steps_exceed(x, argument, case.constant, _limits(x, argument, case))


def _by_product(x: Floats, argument: Argument, case: _Case) -> Flags:
    """Tell where RN(t) log2 e, or x - max before it is scaled, leaves a format without infinities.

    Elsewhere such a product becomes -inf, whose exponential is 0. So is the exact one, unless |s| < 1.
    """
    found = np.zeros(len(x), dtype=np.bool_)
    if case.arithmetic.has_infinity:
        return found
    shifts = argument in ("shifted", "running")
    largest = float(case.arithmetic.largest)
    if case.algorithm.exp2:
        t = x - x.max(axis=1, keepdims=True) if shifts else x + case.constant
        room = 1.0 if case.fused.scale == 1 else 1 + 2.0 ** (1 - case.arithmetic.precision)
        log2e = _rounded(np.float64(LOG2E_HIGH), case.arithmetic)
        size = _rounded(_greatest_size(t) * room, case.arithmetic)
        found |= ~np.isfinite(_rounded(size * log2e, case.arithmetic))
    if shifts:
        logits = x if case.fused.sink is None else x[:, :-1]
        found |= _greatest_size(logits - logits.max(axis=1, keepdims=True)) / case.fused.size > largest
    return found


def _rounded(values: Any, fmt: FloatFormat) -> Floats:
    return fmt.to_float64(fmt.from_float64(values))


def _greatest_size(t: Floats) -> Floats:
    """Return the greatest |t| of each row, masked entries and NaN apart."""
    return np.asarray(np.where(np.isfinite(t), np.abs(t), 0.0).max(axis=1))


def _by_setting(x: Floats, argument: Argument, case: _Case) -> Flags:
    """Tell where s x itself leaves the range, or the sink's exponential against the maximum of the logits.

    Where the algorithm takes exp2, the scale may hold log2 e, and the sink has it too.
    """
    if not case.fused.moves:
        return np.zeros(len(x), dtype=np.bool_)
    limits, sunk = _limits(x, argument, case), case.fused.sink is not None
    logits = x[:, :-1] if sunk else x
    found = np.zeros(len(x), dtype=np.bool_)
    exp2 = case.algorithm.exp2
    if case.fused.scale != 1 or exp2:
        sizes = _greatest_size(x if exp2 else logits) * (LOG2E_ABOVE if exp2 else 1.0)
        found |= [size > limit for size, limit in zip(sizes.tolist(), limits, strict=True)]
    if sunk and argument in ("shifted", "running"):
        top, sink = logits.max(axis=1, keepdims=True), x[:, -1:]
        against = np.where(np.isneginf(top), x, x - top)
        wrong = 2.0**-case.arithmetic.precision * (np.abs(sink) + 2 * np.abs(top))
        wrong = np.where((sink > top) & np.isfinite(top), wrong, 0.0)[:, 0]
        found |= sums_exceed(against, "plain", 0.0, _lowered(limits, wrong))
    return found


def _saturation(x: Floats, case: _Case) -> Flags:
    """Tell where the sum exceeds the largest number, which a sum that saturates stops at."""
    limits = Limits.same(case.arithmetic.largest, len(x))
    exceed = [sums_exceed(x, argument, case.constant, limits) for argument in case.arguments]
    return np.asarray(np.logical_or.reduce(exceed))


def _limits(x: Floats, argument: Argument, case: _Case) -> Limits:
    """Return Omega / G for each row; 0 where G is infinite.

    A running maximum that begins at -Omega has the sum rescaled at the first entry too. Without a shift the
    computed s x_i may lie above s x_i by what rounds s and the product.
    """
    algorithm = replace(case.algorithm, argument=argument)

    def limit(links: int) -> Fraction:
        return _limit(algorithm, x.shape[1], case.arithmetic, links)

    if argument == "running":
        links, places = np.unique(rescalings(x)[:, 0] + 1, return_inverse=True)
        return Limits([limit(number) for number in links.tolist()], places)
    limits = Limits.same(limit(0), len(x))
    if case.fused.scale == 1 or argument == "shifted":
        return limits
    return _lowered(limits, 3 * 2.0**-case.arithmetic.precision * np.maximum(x.max(axis=1), 0.0))


def _lowered(limits: Limits, wrong: Floats) -> Limits:
    """Return limits for exponentials whose arguments may lie so far above the exact ones."""
    factors = (1 + expm1_above(wrong)).tolist()
    return Limits.of([limit / Fraction(factor) for limit, factor in zip(limits, factors, strict=True)])


def _limit(algorithm: Algorithm, n: int, arithmetic: FloatFormat, links: int) -> Fraction:
    g = growth(algorithm, n, arithmetic, links)
    return arithmetic.largest / Fraction(g) if g < float("inf") else Fraction(0)
