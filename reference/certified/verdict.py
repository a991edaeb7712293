"""The verdict of `reference.errors.judge`, compiled: one pass over outputs and truth.

The figures are those of the specification, bit for bit: the same operations in the same order
for the ULP error, exact sums rounded once for the rows.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern, two_sum
from reference.certified.exact_sums import LIMBS, accumulate, sign_of
from reference.certified.layout import SHORT, rows_per_span
from reference.certified.parallel import deal_rows
from reference.certified.row_sums import (
    COARSE,
    ONE,
    Tally,
    sum_rows,
    tally_of_rows,
    tally_row,
    tally_short_rows,
)
from reference.errors import ElementClass, Judgement, RowFailure
from reference.truth import Truth

__all__ = ["Fields", "fields_of_shape", "judge_certified", "judge_rows", "part_of"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_NEGATIVE_ZERO: Final = -(1 << 63)
_INF: Final = math.inf
_INFINITY: Final = 0x7FF << FRACTION_BITS
_MOST_ROWS: Final = 256
"""Rows of a span at most, so that their tally stays in L1 as well."""

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
    fields, fmt = fields_of_shape(y.shape), truth.format

    def judge(rows: slice) -> None:
        values = np.require(fmt.to_float64(y[rows]), requirements=["C", "W"])
        judge_rows(
            values, truth.nearest[rows], truth.residual[rows], part_of(fields, rows), fmt.precision, fmt.emin
        )

    deal_rows(judge, y.shape[0], y.shape[1], jobs)
    return Judgement(**fields._asdict())


class Fields(NamedTuple):
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


def fields_of_shape(shape: tuple[int, ...]) -> Fields:
    """Return arrays for the kernel to fill."""
    a, b, c = (np.empty(shape, dtype=bool) for _ in range(3))
    d, e, f = (np.empty(shape[0]) for _ in range(3))
    return Fields(np.empty(shape), np.empty(shape, np.uint8), a, b, c, d, e, f, np.empty(shape[0], np.uint8))


def part_of(fields: Fields, rows: slice) -> Fields:
    """Return the fields of some rows, as views."""
    return Fields._make(field[rows] for field in fields)


class _Elements(NamedTuple):
    """What is read and filled element by element: arrays of one shape, (rows, n)."""

    y: Any
    nearest: Any
    residual: Any
    ulp: Any
    classes: Any
    correct: Any
    faithful: Any
    negative_zero: Any


@compiled
def judge_rows(y: Any, nearest: Any, residual: Any, fields: Fields, precision: int, emin: int) -> None:
    """Fill the fields of rows (rows, n), span by span: what a span needs stays in cache."""
    limbs = np.empty(LIMBS, dtype=np.int64)
    step = min(rows_per_span(y.shape[1]), _MOST_ROWS)
    tally = tally_of_rows(step)
    for first in range(0, y.shape[0], step):
        last = min(first + step, y.shape[0])
        _judge_span(
            _Elements(
                y[first:last], nearest[first:last], residual[first:last],
                fields.ulp[first:last], fields.classes[first:last], fields.correct[first:last],
                fields.faithful[first:last], fields.negative_zero[first:last],
            ), tally, precision, emin,
        )  # fmt: skip
        row_sum, nearest_sum = fields.row_sum[first:last], fields.nearest_sum[first:last]
        sum_rows(
            y[first:last],
            nearest[first:last],
            tally,
            row_sum,
            nearest_sum,
            fields.row_sum_error[first:last],
            limbs,
        )
        for row in range(first, last):
            finite = tally.reach[row - first] < _INFINITY
            fields.failure[row] = _failure(
                y, nearest, row, fields.row_sum[row], fields.nearest_sum[row], finite, limbs
            )


@compiled
def _judge_span(elements: _Elements, tally: Tally, precision: int, emin: int) -> None:
    """Tally and judge the rows of a span; short ones as one long row."""
    y, nearest, residual, ulp, classes, correct, faithful, negative_zero = elements
    rows, n = y.shape
    if n < SHORT:
        tally_short_rows(y, nearest, tally)
        flat = _Elements(
            y.reshape(1, -1), nearest.reshape(1, -1), residual.reshape(1, -1), ulp.reshape(1, -1),
            classes.reshape(1, -1), correct.reshape(1, -1), faithful.reshape(1, -1),
            negative_zero.reshape(1, -1),
        )  # fmt: skip
        _judge_row(flat, 0, _are_plain(tally, 0, rows, emin), precision, emin)
    else:
        for row in range(rows):
            tally_row(y, nearest, row, emin - precision + 1 >= COARSE, tally, row)
            _judge_row(elements, row, _are_plain(tally, row, row + 1, emin), precision, emin)


@inlined
def _are_plain(tally: Tally, first: int, last: int, emin: int) -> bool:
    """Tell whether all y of the rows lie in (0, 1], and all RN(r) are normal, or NaN."""
    smallest_normal = np.int64(emin + 1023) << FRACTION_BITS
    plain = True
    for row in range(first, last):
        plain &= (tally.lowest_output[row] > 0) & (tally.reach[row] <= ONE)
        plain &= tally.lowest_nearest[row] >= smallest_normal
    return plain


@compiled
def _judge_row(elements: _Elements, row: int, plain: bool, precision: int, emin: int) -> None:
    """Judge the elements of a row: figure, flags and class.

    The binade of r is that of RN(r), or of RN(r)'s predecessor where r is below it. In
    policy rows RN(r) is NaN, and so is all that depends on it.
    """
    y, nearest, residual, ulp, classes, correct, faithful, negative_zero = elements
    smallest = np.int64(emin + 1023) << FRACTION_BITS
    inverse_of = np.int64(2046) << FRACTION_BITS
    last_place = 2.0 ** (1 - precision)
    first_place = 2.0 ** (precision - 1)
    for j in range(y.shape[1]):
        value, target, rest = y[row, j], nearest[row, j], residual[row, j]
        binade = max((pattern(target) - int(rest < 0.0)) & _EXPONENT_FIELD, smallest)
        scale = float_of(inverse_of - binade)
        high, low = two_sum(value, -target)
        figure = abs((high * scale) * first_place + ((low * scale) * first_place - rest))
        step = math.copysign(float_of(binade) * last_place, rest)
        ulp[row, j] = figure if abs(value) < _INF else np.nan
        correct[row, j] = value == target
        faithful[row, j] = (value == target) | ((value == target + step) & (rest != 0.0))
    if plain:
        for j in range(y.shape[1]):
            classes[row, j] = _POLICY if np.isnan(nearest[row, j]) else _NORMAL
            negative_zero[row, j] = False
    else:
        _classify(elements, row, 2.0**emin)


@compiled
def _classify(elements: _Elements, row: int, smallest_normal: float) -> None:
    """Store the class of each element of a row, and whether it is -0."""
    y, nearest, residual = elements.y, elements.nearest, elements.residual
    for j in range(y.shape[1]):
        value, target, rest = y[row, j], nearest[row, j], residual[row, j]
        is_zero, at_zero, is_subnormal = value == 0.0, target == 0.0, target < smallest_normal
        kind = _GRADUAL if is_subnormal else _NORMAL
        kind = _SPURIOUS_NONZERO if at_zero else kind
        kind = (_UNAVOIDABLE_ZERO if at_zero else (_FLUSHED if is_subnormal else _LOST)) if is_zero else kind
        kind = _OUT_OF_RANGE if (value < 0.0) | (value > 1.0) else kind
        kind = (_MASKED_ZERO if is_zero else _MASK_LEAK) if at_zero & (rest == 0.0) else kind
        kind = kind if abs(value) < _INF else _NONFINITE
        elements.classes[row, j] = _POLICY if np.isnan(target) else kind
        elements.negative_zero[row, j] = pattern(value) == _NEGATIVE_ZERO


@compiled
def _failure(
    y: Any, nearest: Any, row: int, row_sum: float, nearest_sum: float, finite: bool, limbs: Any
) -> Any:
    if np.isnan(nearest_sum):
        return _FAILED_POLICY
    if not finite:
        return _FAILED_NONFINITE
    if nearest_sum == 0.0:
        return _NONE
    low, high = 2.0 * row_sum - nearest_sum, 2.0 * nearest_sum - row_sum
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
