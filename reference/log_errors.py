"""How far outputs of log_softmax and logsumexp lie from the truth, in plain NumPy.

As `reference.errors` has it for softmax, but for what follows from a result that is a logarithm:

* a result may lie beyond the format's largest number. The output is then RN(r) if it is what the format
  rounds to: an infinity, NaN in a format that has none. That is no failure; no output could be better;
* a masked entry of log_softmax has -inf (NaN in a format without infinities);
* no class speaks of zeros. Next to a dominating entry 0 is what most forms give, and wrong by its ULPs;
* -0 is what a result below 0 may round to. It counts as a negative zero where the result is 0 or above;
* a row of log_softmax has failed if an output is nonfinite, or if the sum of exp(y) lies outside [1/2, 2]
  times the sum of exp(RN(r)). That is 1 but for what rounding makes of it: with 3 bits, RN(-9.01) is -10, and
  the exponentials of 8200 such outputs sum up to 0.37. Where float64 holds neither sum, as beside a sink far
  above the logits, both are compared as multiples of the greatest exp(RN(r));
* a row of logsumexp has failed if its output is nonfinite, or differs from RN(r) by more than log 2 and an
  ulp: where ulps are large, outputs that are faithful differ by more than log 2. A faithful one never fails.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.elementary import exp_parts
from reference.errors import ElementClass, Judgement, RowFailure, neighbour_of, ulp_errors_of, ulp_of
from reference.model import Truth
from reference.row_kinds import RowKind

__all__ = ["SMALLEST_TOP", "SUM_ERROR", "judge_log_softmax", "judge_logsumexp"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SUM_ERROR: Final = 2.0**-40
"""More than the relative error of a sum of exponentials: 2^-49 for each, the sum being exact."""

SMALLEST_TOP: Final = -250.0
"""The greatest result of a row without a sink is at least -log n, and so above it."""

_LN2_ABOVE: Final = float.fromhex("0x1.62e42fefa39f0p-1")
"""The float64 next to log 2 from above."""


def judge_log_softmax(y: NDArray[Any], truth: Truth) -> Judgement:
    """Judge outputs y of shape (rows, n): an array of the truth's format, or its values in float64.

    `row_sum`, `nearest_sum` and `row_sum_error` are of exp(y) and exp(RN(r)), within 2^-40 relative.
    A NaN that stands rightly for an infinity, in a format that has none, counts as RN(r).

    Raises:
        ValueError: y has another shape than the truth.
    """
    values = _values(y, truth)
    numbers = np.where(np.isnan(values) & _is_nearest(values, truth), truth.nearest, values)
    row_sum, nearest_sum = _sums_of_exp(numbers), _sums_of_exp(truth.nearest)
    share, nearest_share = row_sum, nearest_sum
    top = _top_far_below(truth.nearest)
    if top.any():
        with np.errstate(over="ignore"):
            share, nearest_share = _sums_of_exp(numbers - top), _sums_of_exp(truth.nearest - top)
    masked = (truth.nearest == -np.inf) & (truth.residual == 0)
    classes = _classes(values, truth, masked, most=0.0)
    failures = _failures(
        truth,
        classes,
        collapsed=2 * share < nearest_share * (1 - SUM_ERROR),
        inflated=share > 2 * nearest_share * (1 + SUM_ERROR),
    )
    return _judgement(values, truth, masked, classes, failures, row_sum, nearest_sum)


def judge_logsumexp(y: NDArray[Any], truth: Truth) -> Judgement:
    """Judge outputs y of shape (rows, 1), as `judge_log_softmax` does; there are no row sums: NaN.

    Raises:
        ValueError: y has another shape than the truth.
    """
    values = _values(y, truth)
    masked = np.zeros(values.shape, dtype=np.bool_)  # a result may be -2^1024, which is -inf in float64
    right = _is_nearest(values, truth) | _is_neighbour(values, truth, masked)
    difference = np.where(right, 0.0, _difference(values, truth))[:, 0]
    classes = _classes(values, truth, masked, most=math.inf)
    failures = _failures(truth, classes, collapsed=difference < 0, inflated=difference > 0)
    none = np.full(len(values), np.nan)
    return _judgement(values, truth, masked, classes, failures, none, none)


def _values(y: NDArray[Any], truth: Truth) -> Floats:
    if y.shape != truth.nearest.shape:
        raise ValueError(f"y of shape {y.shape}: the truth has shape {truth.nearest.shape}; they must match")
    return truth.format.to_float64(y)


def _judgement(
    y: Floats,
    truth: Truth,
    masked: Flags,
    classes: NDArray[np.uint8],
    failure: NDArray[np.uint8],
    row_sum: Floats,
    nearest_sum: Floats,
) -> Judgement:
    with np.errstate(invalid="ignore"):
        row_sum_error = np.abs(row_sum - nearest_sum)
    correct = _is_nearest(y, truth)
    return Judgement(
        ulp=_ulp(y, truth, masked),
        classes=classes,
        correct=correct,
        faithful=correct | _is_neighbour(y, truth, masked),
        negative_zero=(y == 0) & np.signbit(y) & ~_is_below_zero(truth),
        row_sum=row_sum,
        nearest_sum=nearest_sum,
        row_sum_error=row_sum_error,
        failure=failure,
    )


# Elements --------------------------------------------------------------------------------


def _ulp(y: Floats, truth: Truth, masked: Flags) -> Floats:
    """Return the ULP errors; at a masked entry 0 of -inf, and infinity of a number."""
    figure = ulp_errors_of(y, truth)
    figure[masked] = np.where(np.isfinite(y[masked]), np.inf, np.nan)
    figure[masked & (y == -np.inf)] = 0.0
    return figure


def _is_nearest(y: Floats, truth: Truth) -> Flags:
    return _same(y, truth.nearest, truth)


def _is_neighbour(y: Floats, truth: Truth, masked: Flags) -> Flags:
    """Tell which outputs are the number next to RN(r) on the side of r, or the largest if r is beyond it."""
    beyond = (np.abs(truth.nearest) > float(truth.format.largest)) & ~masked
    with np.errstate(invalid="ignore"):
        largest = np.copysign(float(truth.format.largest), truth.nearest)
        found: Flags = _same(y, neighbour_of(truth), truth) | (beyond & (y == largest))
    return found


def _same(y: Floats, wanted: Floats, truth: Truth) -> Flags:
    """Tell which outputs are what a number, of the format if it went on, becomes in it."""
    fmt = truth.format
    rounded = fmt.to_float64(fmt.from_float64(wanted))
    nothing = np.isnan(rounded) & ~_policy(truth)[:, None]
    same: Flags = (y == rounded) | (nothing & np.isnan(y))
    return same


def _is_below_zero(truth: Truth) -> Flags:
    """Tell which results are below 0, and which are unknown."""
    nearest, residual = truth.nearest, truth.residual
    found: Flags = ~((nearest > 0) | ((nearest == 0) & (residual >= 0)))
    return found


def _policy(truth: Truth) -> Flags:
    return truth.kinds >= RowKind.NAN


def _classes(y: Floats, truth: Truth, masked: Flags, most: float) -> NDArray[np.uint8]:
    nearest, finite = truth.nearest, np.isfinite(y)
    table = [
        (np.broadcast_to(_policy(truth)[:, None], y.shape), ElementClass.POLICY),
        (~finite & ~_is_nearest(y, truth), ElementClass.NONFINITE),
        (masked & finite, ElementClass.MASK_LEAK),
        (masked, ElementClass.MASKED_ZERO),
        (y > most, ElementClass.OUT_OF_RANGE),
        (np.abs(nearest) < float(truth.format.smallest_normal), ElementClass.GRADUAL),
    ]
    conditions, classes = zip(*table, strict=True)
    return np.select(conditions, [np.uint8(c) for c in classes], np.uint8(ElementClass.NORMAL))


# Rows ------------------------------------------------------------------------------------


def _failures(
    truth: Truth, classes: NDArray[np.uint8], collapsed: Flags, inflated: Flags
) -> NDArray[np.uint8]:
    table = [
        (_policy(truth), RowFailure.POLICY),
        ((classes == ElementClass.NONFINITE).any(axis=1), RowFailure.NONFINITE),
        (collapsed, RowFailure.COLLAPSED),
        (inflated, RowFailure.INFLATED),
    ]
    conditions, failures = zip(*table, strict=True)
    return np.select(conditions, [np.uint8(f) for f in failures], np.uint8(RowFailure.NONE))


def _top_far_below(nearest: Floats) -> Floats:
    """Return the greatest RN(r) of each row, of shape (rows, 1), where it is below `SMALLEST_TOP`; else 0.

    Sums are compared as multiples of its exponential there, as float64 may hold neither. What counts in
    them lies within a factor 2 of it, and its difference is exact (Sterbenz).
    """
    top = np.max(nearest, axis=1, keepdims=True)
    return np.where(np.isfinite(top) & (top < SMALLEST_TOP), top, 0.0)


def _sums_of_exp(values: Floats) -> Floats:
    """Return the sum of exp(v) for each row; exp(-inf) = 0, NaN and +inf give themselves."""
    finite = np.isfinite(values)
    fraction, exponent = exp_parts(np.where(finite, values, 0.0))
    with np.errstate(over="ignore"):
        powers = np.where(finite, np.ldexp(fraction, exponent), np.where(values == -np.inf, 0.0, values))
    return np.array([_sum(row) for row in powers.tolist()], dtype=np.float64)


def _sum(terms: list[float]) -> float:
    try:
        return math.fsum(terms)
    except OverflowError:
        return math.inf


def _difference(y: Floats, truth: Truth) -> Floats:
    """Return the sign of y - RN(r) where they differ by more than log 2 and an ulp; else 0.

    The comparison is float64's: log 2 is taken from above, and both sides are rounded once.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        y, nearest = 0.5 * y, 0.5 * truth.nearest
        high = y - nearest
        allowed = 0.5 * _LN2_ABOVE + 0.5 * ulp_of(truth)
        return np.where(np.abs(high) > allowed, np.sign(high), 0.0)
