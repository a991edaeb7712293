"""Ziv's strategy over rows: quick tier, analysis, fine tier, analysis, mpmath."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reference import oracle
from reference.certified import binary64, doubledouble, edges
from reference.certified.layout import BLOCK, Outputs, Rounding
from reference.certified.parallel import deal_rows
from reference.formats import FloatFormat
from reference.truth import Truth

__all__ = ["truth_certified"]

Floats = NDArray[np.float64]


def truth_certified(x: Floats, fmt: FloatFormat, jobs: int = 1) -> Truth:
    """Return RN(r) and residuals in `fmt` for (rows, n) logits, as `oracle.truth_mpmath` does.

    Args:
        x: logits of shape (rows, n), n >= 1, in float64, in which every format embeds.
        fmt: the output format.
        jobs: how many threads share the rows; the result is the same for any number.

    Raises:
        ValueError: the rows have no entries, x is not two-dimensional, or jobs < 1.
    """
    _validate(x)
    outputs = _outputs(x.shape)
    rows, n = x.shape
    fallbacks = deal_rows(lambda part: _judge_rows(x[part], _part(outputs, part), fmt), rows, n, jobs)
    return Truth(fmt, outputs.nearest, outputs.residual, outputs.kinds, sum(fallbacks))


def _validate(x: Floats) -> None:
    if x.ndim != 2 or x.dtype != np.float64:
        raise ValueError(f"x of shape {x.shape} and dtype {x.dtype}: give (rows, n) float64 logits")
    if x.shape[1] == 0:
        raise ValueError("rows of length 0: softmax needs at least one logit in a row")


def _outputs(shape: tuple[int, ...]) -> Outputs:
    rows = shape[0]
    return Outputs(
        np.empty(shape), np.empty(shape), np.empty(rows, dtype=np.uint8), np.zeros(rows, dtype=np.int64)
    )


def _part(outputs: Outputs, rows: slice) -> Outputs:
    return Outputs(
        outputs.nearest[rows], outputs.residual[rows], outputs.kinds[rows], outputs.undecided[rows]
    )


def _judge_rows(x: Floats, outputs: Outputs, fmt: FloatFormat) -> int:
    """Fill the outputs and return how many elements went to mpmath."""
    x = np.require(x, requirements=["C", "W"])  # one signature for the kernels
    if fmt.precision <= binary64.MAX_PRECISION:
        _quick_tier(x, outputs, fmt)
        _for_open_rows(x, outputs, fmt, _fine_tier)
    else:
        _fine_tier(x, outputs, fmt)
    fallbacks = int(outputs.undecided.sum())
    _for_open_rows(x, outputs, fmt, _last_resort)
    return fallbacks


def _quick_tier(x: Floats, outputs: Outputs, fmt: FloatFormat) -> None:
    rounding = Rounding(fmt.precision, fmt.emin, binary64.relative_bound(fmt))
    judge = binary64.truth_of_short_rows if x.shape[1] <= BLOCK else binary64.truth_of_long_rows
    judge(x, outputs, rounding, binary64.COEFFICIENTS)
    _settle(x, outputs, rounding)


def _fine_tier(x: Floats, outputs: Outputs, fmt: FloatFormat) -> None:
    rounding = Rounding(fmt.precision, fmt.emin, doubledouble.relative_bound(x.shape[1]))
    judge = doubledouble.truth_of_short_rows if x.shape[1] <= BLOCK else doubledouble.truth_of_long_rows
    judge(x, outputs, rounding)
    _settle(x, outputs, rounding)


def _last_resort(x: Floats, outputs: Outputs, fmt: FloatFormat) -> None:
    truth = oracle.truth_mpmath(x, fmt)
    outputs.nearest[...] = truth.nearest
    outputs.residual[...] = truth.residual


def _settle(x: Floats, outputs: Outputs, rounding: Rounding) -> None:
    if outputs.undecided.any():
        edges.settle_ties(x, outputs, rounding)
    if outputs.undecided.any():
        edges.settle_near_ties(x, outputs, rounding)


def _for_open_rows(
    x: Floats, outputs: Outputs, fmt: FloatFormat, tier: Callable[[Floats, Outputs, FloatFormat], None]
) -> None:
    """Hand the rows with open elements to a tier, and take those elements from it."""
    rows = np.flatnonzero(outputs.undecided)
    if rows.size:
        again = _outputs((rows.size, x.shape[1]))
        tier(x[rows], again, fmt)
        is_open = np.isnan(outputs.residual[rows])
        outputs.nearest[rows] = np.where(is_open, again.nearest, outputs.nearest[rows])
        outputs.residual[rows] = np.where(is_open, again.residual, outputs.residual[rows])
        outputs.undecided[rows] = (np.isnan(again.residual) & is_open).sum(axis=1)
