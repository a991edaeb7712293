"""Ziv's strategy over rows: quick tier, analysis, fine tier, analysis, mpmath."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference import oracle
from reference.certified import binary64, doubledouble
from reference.certified.compiled import compiled
from reference.certified.doubledouble import refine
from reference.certified.edges import settle_near_ties, settle_ties
from reference.certified.layout import SHORT, Outputs, Rounding
from reference.certified.parallel import deal_rows
from reference.formats import FloatFormat
from reference.model import Truth

__all__ = [
    "Plan",
    "decide_rows",
    "last_resort",
    "outputs_of_shape",
    "plan_for",
    "truth_certified",
    "validate",
]

Floats = NDArray[np.float64]

_quick_short: Any = binary64.truth_of_short_rows
_quick_long: Any = binary64.truth_of_long_rows
_fine_short: Any = doubledouble.truth_of_short_rows
_fine_long: Any = doubledouble.truth_of_long_rows


class Plan(NamedTuple):
    """How rows of some length are to be decided for some format."""

    starts_quick: bool
    quick: Rounding
    fine: Rounding
    coefficients: tuple[float, ...]


def truth_certified(x: Floats, fmt: FloatFormat, jobs: int = 1) -> Truth:
    """Return RN(r) and residuals in `fmt` for (rows, n) logits, as `oracle.truth_mpmath` does.

    Args:
        x: logits of shape (rows, n), n >= 1, in float64, in which every format embeds.
        fmt: the output format.
        jobs: how many threads share the rows; the result is the same for any number.

    Raises:
        ValueError: the rows have no entries, x is not two-dimensional, or jobs < 1.
    """
    validate(x)
    rows, n = x.shape
    outputs, plan = outputs_of_shape(x.shape), plan_for(fmt, n)

    def work(part: slice) -> int:
        mine = Outputs(
            outputs.nearest[part], outputs.residual[part], outputs.kinds[part], outputs.undecided[part]
        )
        values = np.require(x[part], requirements=["C", "W"])  # one signature for the kernels
        decide_rows(values, mine, plan)
        return last_resort(values, mine, fmt)

    fallbacks = deal_rows(work, rows, n, jobs)
    return Truth(fmt, outputs.nearest, outputs.residual, outputs.kinds, sum(fallbacks))


def validate(x: Floats) -> None:
    """Refuse logits that are not (rows, n) float64 with n >= 1, by a ValueError that says so."""
    if x.ndim != 2 or x.dtype != np.float64:
        raise ValueError(f"x of shape {x.shape} and dtype {x.dtype}: give (rows, n) float64 logits")
    if x.shape[1] == 0:
        raise ValueError("rows of length 0: a row needs at least one logit")


def outputs_of_shape(shape: tuple[int, ...]) -> Outputs:
    """Return arrays for the kernels to fill."""
    rows = shape[0]
    return Outputs(
        np.empty(shape), np.empty(shape), np.empty(rows, dtype=np.uint8), np.zeros(rows, dtype=np.int64)
    )


def plan_for(fmt: FloatFormat, n: int) -> Plan:
    """Return where rows of length n start for a format, and the bounds that decide."""
    quick = Rounding(fmt.precision, fmt.emin, binary64.relative_bound(fmt))
    fine = Rounding(fmt.precision, fmt.emin, doubledouble.relative_bound(n))
    return Plan(fmt.precision <= binary64.MAX_PRECISION, quick, fine, binary64.COEFFICIENTS)


def last_resort(x: Floats, outputs: Outputs, fmt: FloatFormat) -> int:
    """Let mpmath decide what is still open, and return how many elements that was."""
    rows = np.flatnonzero(outputs.undecided)
    if rows.size:
        truth = oracle.truth_mpmath(x[rows], fmt)
        is_open = np.isnan(outputs.residual[rows])
        outputs.nearest[rows] = np.where(is_open, truth.nearest, outputs.nearest[rows])
        outputs.residual[rows] = np.where(is_open, truth.residual, outputs.residual[rows])
    return int(outputs.undecided.sum())


@compiled
def decide_rows(x: Any, outputs: Outputs, plan: Plan) -> None:
    """Decide (rows, n) logits as far as the compiled tiers can; open elements have a NaN residual."""
    outputs.undecided[:] = 0
    if not plan.starts_quick:
        _fine(x, outputs, plan.fine)
        return
    if x.shape[1] < SHORT:
        _quick_short(x, outputs, plan.quick, plan.coefficients)
    else:
        _quick_long(x, outputs, plan.quick, plan.coefficients)
    if outputs.undecided.any():
        settle_ties(x, outputs, plan.quick)
        settle_near_ties(x, outputs, plan.quick)
        refine(x, outputs, plan.fine)


@compiled
def _fine(x: Any, outputs: Outputs, rounding: Rounding) -> None:
    if x.shape[1] < SHORT:
        _fine_short(x, outputs, rounding)
    else:
        _fine_long(x, outputs, rounding)
    if outputs.undecided.any():
        settle_ties(x, outputs, rounding)
        settle_near_ties(x, outputs, rounding)
