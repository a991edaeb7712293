"""The verdict of `reference.errors.judge`, compiled: one pass over outputs and truth.

The figures are those of the specification, bit for bit: the same operations in the same order
for the ULP error, exact sums rounded once for the rows.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, pattern, two_sum
from reference.certified.exact_sums import LIMBS, accumulate, sign_of
from reference.certified.layout import rows_per_span
from reference.certified.parallel import deal_rows
from reference.certified.row_sums import COARSE, RowSums, sums_of_row
from reference.errors import ElementClass, Judgement, RowFailure
from reference.truth import Truth

__all__ = ["judge_certified"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_NEGATIVE_ZERO: Final = -(1 << 63)
_INF: Final = math.inf

_NONFINITE: Final = np.uint8(ElementClass.NONFINITE)
_MASK_LEAK: Final = np.uint8(ElementClass.MASK_LEAK)
_MASKED_ZERO: Final = np.uint8(ElementClass.MASKED_ZERO)
_OUT_OF_RANGE: Final = np.uint8(ElementClass.OUT_OF_RANGE)
_FLUSHED: Final = np.uint8(ElementClass.FLUSHED)
_LOST: Final = np.uint8(ElementClass.LOST)
_UNAVOIDABLE_ZERO: Final = np.uint8(ElementClass.UNAVOIDABLE_ZERO)
_SPURIOUS_NONZERO: Final = np.uint8(ElementClass.SPURIOUS_NONZERO)
_GRADUAL: Final = np.uint8(ElementClass.GRADUAL)
_NORMAL: Final = np.uint8(ElementClass.NORMAL)
_POLICY: Final = np.uint8(ElementClass.POLICY)

_NONE: Final = np.uint8(RowFailure.NONE)
_FAILED_NONFINITE: Final = np.uint8(RowFailure.NONFINITE)
_COLLAPSED: Final = np.uint8(RowFailure.COLLAPSED)
_INFLATED: Final = np.uint8(RowFailure.INFLATED)
_FAILED_POLICY: Final = np.uint8(RowFailure.POLICY)


def judge_certified(y: NDArray[Any], truth: Truth, jobs: int = 1) -> Judgement:
    """Judge outputs y of shape (rows, n), as `reference.errors.judge` does.

    Args:
        y: an array of the truth's format, or its values in float64.
        truth: of the same shape.
        jobs: how many threads share the rows; the result is the same for any number.

    Raises:
        ValueError: y has another shape than the truth, or jobs < 1.
    """
    if y.shape != truth.nearest.shape:
        raise ValueError(f"y of shape {y.shape}: the truth has shape {truth.nearest.shape}; they must match")
    fields = _empty(y.shape)
    fmt = truth.format

    def judge(rows: slice) -> None:
        outputs = np.require(fmt.to_float64(y[rows]), requirements=["C", "W"])
        known = _Known(truth.nearest[rows], truth.residual[rows], truth.kinds[rows])
        _judge_rows(outputs, known, _part(fields, rows), fmt.precision, fmt.emin)

    deal_rows(judge, y.shape[0], y.shape[1], jobs)
    return Judgement(**fields._asdict())


class _Known(NamedTuple):
    """What the kernel reads of a `Truth`."""

    nearest: Floats
    residual: Floats
    kinds: NDArray[np.uint8]


class _Fields(NamedTuple):
    """What the kernel fills: the arrays of a `Judgement`."""

    ulp: Floats
    classes: NDArray[np.uint8]
    correct: Flags
    faithful: Flags
    negative_zero: Flags
    row_sum: Floats
    nearest_sum: Floats
    row_sum_error: Floats
    failure: NDArray[np.uint8]


def _empty(shape: tuple[int, int]) -> _Fields:
    a, b, c = (np.empty(shape, dtype=bool) for _ in range(3))
    d, e, f = (np.empty(shape[0]) for _ in range(3))
    return _Fields(np.empty(shape), np.empty(shape, np.uint8), a, b, c, d, e, f, np.empty(shape[0], np.uint8))


def _part(fields: _Fields, rows: slice) -> _Fields:
    return _Fields._make(field[rows] for field in fields)


@compiled
def _judge_rows(y: Any, truth: _Known, fields: _Fields, precision: int, emin: int) -> None:
    coarse = emin - precision + 1 >= COARSE
    limbs = np.empty(LIMBS, dtype=np.int64)
    step = rows_per_span(y.shape[1])
    for first in range(0, y.shape[0], step):
        last = min(first + step, y.shape[0])
        _judge_elements(
            y[first:last].reshape(-1), truth.nearest[first:last].reshape(-1), truth.residual[first:last].reshape(-1),
            precision, emin,
            fields.ulp[first:last].reshape(-1), fields.classes[first:last].reshape(-1),
            fields.correct[first:last].reshape(-1), fields.faithful[first:last].reshape(-1),
            fields.negative_zero[first:last].reshape(-1),
        )  # fmt: skip
        for row in range(first, last):
            sums, finite = sums_of_row(y, truth.nearest, row, coarse, limbs)
            fields.row_sum[row], fields.nearest_sum[row] = sums.outputs, sums.nearest
            fields.row_sum_error[row] = abs(sums.differences)
            fields.failure[row] = _failure(limbs, y, truth.nearest, row, sums, finite)


@compiled
def _judge_elements(
    y: Any, nearest: Any, residual: Any, precision: int, emin: int,
    ulp: Any, classes: Any, correct: Any, faithful: Any, negative_zero: Any,
) -> None:  # fmt: skip
    """Judge elements. The binade of r is that of RN(r), or of RN(r)'s predecessor where r is below it.

    In policy rows RN(r) is NaN, and so is all that depends on it.
    """
    smallest = np.int64(emin + 1023) << FRACTION_BITS
    inverse_of = np.int64(2046) << FRACTION_BITS
    last_place = 2.0 ** (1 - precision)
    first_place = 2.0 ** (precision - 1)
    smallest_normal = 2.0**emin
    for i in range(y.size):
        value, target, rest = y[i], nearest[i], residual[i]
        binade = max((pattern(target) - int(rest < 0.0)) & _EXPONENT_FIELD, smallest)
        scale = float_of(inverse_of - binade)
        high, low = two_sum(value, -target)
        figure = abs((high * scale) * first_place + ((low * scale) * first_place - rest))
        is_finite = abs(value) < _INF
        ulp[i] = figure if is_finite else np.nan
        is_zero, at_zero, is_subnormal = value == 0.0, target == 0.0, target < smallest_normal
        kind = _GRADUAL if is_subnormal else _NORMAL
        kind = _SPURIOUS_NONZERO if at_zero else kind
        kind = (_UNAVOIDABLE_ZERO if at_zero else (_FLUSHED if is_subnormal else _LOST)) if is_zero else kind
        kind = _OUT_OF_RANGE if (value < 0.0) | (value > 1.0) else kind
        kind = (_MASKED_ZERO if is_zero else _MASK_LEAK) if at_zero & (rest == 0.0) else kind
        kind = kind if is_finite else _NONFINITE
        classes[i] = _POLICY if np.isnan(target) else kind
        step = math.copysign(float_of(binade) * last_place, rest)
        correct[i] = value == target
        faithful[i] = (value == target) | ((value == target + step) & (rest != 0.0))
        negative_zero[i] = pattern(value) == _NEGATIVE_ZERO


@compiled
def _failure(limbs: Any, y: Any, nearest: Any, row: int, sums: RowSums, finite: bool) -> Any:
    if np.isnan(sums.nearest):
        return _FAILED_POLICY
    if not finite:
        return _FAILED_NONFINITE
    if sums.nearest == 0.0:
        return _NONE
    low, high = 2.0 * sums.outputs - sums.nearest, 2.0 * sums.nearest - sums.outputs
    if low < 0.0 or (low == 0.0 and _below(limbs, y[row], nearest[row])):
        return _COLLAPSED
    if high < 0.0 or (high == 0.0 and _below(limbs, nearest[row], y[row])):
        return _INFLATED
    return _NONE


@compiled
def _below(limbs: Any, a: Any, b: Any) -> bool:
    """Tell whether 2 sum(a) < sum(b), exactly."""
    limbs[:] = 0
    accumulate(limbs, a, 1)
    accumulate(limbs, a, 1)
    accumulate(limbs, b, -1)
    return sign_of(limbs) < 0
