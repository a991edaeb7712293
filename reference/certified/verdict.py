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
from reference.certified.parallel import deal_rows
from reference.certified.row_sums import (
    LOWEST_NEAREST,
    LOWEST_OUTPUT,
    ONE,
    REACH,
    ROWS,
    at,
    new_tally,
    sum_rows,
    tally_rows,
)
from reference.certified.widening import Encoded, encoded, rows_of, widened
from reference.errors import ElementClass, Judgement, RowFailure
from reference.model import Truth

__all__ = [
    "GROUP",
    "Fields",
    "fields_of_shape",
    "judge_certified",
    "judge_encoded",
    "judge_rows",
    "part_of",
    "slice_of",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_NEGATIVE_ZERO: Final = -(1 << 63)
_INF: Final = math.inf
_INFINITY: Final = 0x7FF << FRACTION_BITS
GROUP: Final = 1 << 14
"""Elements worked on together: logits, outputs, truth and verdict of 2^14 elements fill most of a MiB."""

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
        ValueError: y has another shape than the truth, another dtype than its format, or jobs < 1.
    """
    if y.shape != truth.nearest.shape:
        raise ValueError(f"y of shape {y.shape}: the truth has shape {truth.nearest.shape}; they must match")
    fields, fmt = fields_of_shape(y.shape), truth.format

    outputs = encoded(y, fmt)

    def judge(rows: slice) -> None:
        mine = rows_of(outputs, rows), truth.nearest[rows], truth.residual[rows], part_of(fields, rows)
        judge_encoded(*mine, fmt.precision, fmt.emin)

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


@compiled
def judge_encoded(y: Encoded, nearest: Any, residual: Any, fields: Fields, precision: int, emin: int) -> None:
    """Fill the fields of rows (rows, n), widening them group by group."""
    rows, n = nearest.shape
    step = max(1, GROUP // n)
    room = np.empty((step, n))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        values, some = widened(y, first, last, room), slice_of(fields, first, last)
        judge_rows(values, nearest[first:last], residual[first:last], some, precision, emin)


@inlined
def slice_of(fields: Fields, first: int, last: int) -> Fields:
    """Return the fields of some rows, in a kernel."""
    return Fields(
        fields.ulp[first:last], fields.classes[first:last], fields.correct[first:last],
        fields.faithful[first:last], fields.negative_zero[first:last], fields.row_sum[first:last],
        fields.nearest_sum[first:last], fields.row_sum_error[first:last], fields.failure[first:last],
    )  # fmt: skip


@compiled
def judge_rows(y: Any, nearest: Any, residual: Any, fields: Fields, precision: int, emin: int) -> None:
    """Fill the fields of rows (rows, n), span by span: what a span needs stays in cache."""
    limbs = np.empty(LIMBS, dtype=np.int64)
    step = max(1, min(GROUP // y.shape[1], ROWS))
    tally = new_tally()
    for first in range(0, y.shape[0], step):
        last = min(first + step, y.shape[0])
        values, targets, rests = y[first:last], nearest[first:last], residual[first:last]
        places = tally_rows(values, targets, precision, emin, tally)
        _measure(
            values.reshape(-1), targets.reshape(-1), rests.reshape(-1), precision, emin,
            fields.ulp[first:last].reshape(-1), fields.correct[first:last].reshape(-1),
            fields.faithful[first:last].reshape(-1),
        )  # fmt: skip
        _classify(
            values.reshape(-1), targets.reshape(-1), rests.reshape(-1), 2.0**emin,
            _are_plain(targets, tally, emin),
            fields.classes[first:last].reshape(-1), fields.negative_zero[first:last].reshape(-1),
        )  # fmt: skip
        row_sum, nearest_sum = fields.row_sum[first:last], fields.nearest_sum[first:last]
        row_sum_error = fields.row_sum_error[first:last]
        sum_rows(values, targets, tally, places, row_sum, nearest_sum, row_sum_error, limbs)
        _store_failures(values, targets, tally, row_sum, nearest_sum, limbs, fields.failure[first:last])


@compiled
def _measure(
    y: Any, nearest: Any, residual: Any, precision: int, emin: int, ulp: Any, correct: Any, faithful: Any
) -> None:
    """Store the ULP errors and whether y is RN(r), or RD(r) or RU(r).

    The binade of r is that of RN(r), or of RN(r)'s predecessor where r is below it. In
    policy rows RN(r) is NaN, and so is all that depends on it.
    """
    smallest = np.int64(emin + 1023) << FRACTION_BITS
    inverse_of = np.int64(2046) << FRACTION_BITS
    last_place = 2.0 ** (1 - precision)
    first_place = 2.0 ** (precision - 1)
    for i in range(y.size):
        value, target, rest = y[i], nearest[i], residual[i]
        binade = max((pattern(target) - int(rest < 0.0)) & _EXPONENT_FIELD, smallest)
        scale = float_of(inverse_of - binade)
        high, low = two_sum(value, -target)
        figure = abs((high * scale) * first_place + ((low * scale) * first_place - rest))
        step = math.copysign(float_of(binade) * last_place, rest)
        ulp[i] = figure if abs(value) < _INF else np.nan
        correct[i] = value == target
        faithful[i] = (value == target) | ((value == target + step) & (rest != 0.0))


@inlined
def _are_plain(nearest: Any, tally: Any, emin: int) -> bool:
    """Tell whether all y lie in (0, 1] and all RN(r) are normal: then so are the classes."""
    smallest_normal = np.int64(emin + 1023) << FRACTION_BITS
    plain = True
    for row in range(nearest.shape[0]):
        plain &= (tally[at(LOWEST_OUTPUT, row)] > 0) & (tally[at(REACH, row)] <= ONE)
        plain &= (tally[at(LOWEST_NEAREST, row)] >= smallest_normal) & (not np.isnan(nearest[row, 0]))
    return plain


@compiled
def _classify(
    y: Any, nearest: Any, residual: Any, smallest_normal: float, plain: bool, classes: Any, negative_zero: Any
) -> None:
    """Store the class of each element, and whether it is -0."""
    if plain:
        classes[:] = _NORMAL
        negative_zero[:] = False
        return
    for i in range(y.size):
        value, target, rest = y[i], nearest[i], residual[i]
        is_zero, at_zero, is_subnormal = value == 0.0, target == 0.0, target < smallest_normal
        kind = _GRADUAL if is_subnormal else _NORMAL
        kind = _SPURIOUS_NONZERO if at_zero else kind
        kind = (_UNAVOIDABLE_ZERO if at_zero else (_FLUSHED if is_subnormal else _LOST)) if is_zero else kind
        kind = _OUT_OF_RANGE if (value < 0.0) | (value > 1.0) else kind
        kind = (_MASKED_ZERO if is_zero else _MASK_LEAK) if at_zero & (rest == 0.0) else kind
        kind = kind if abs(value) < _INF else _NONFINITE
        classes[i] = _POLICY if np.isnan(target) else kind
        negative_zero[i] = pattern(value) == _NEGATIVE_ZERO


@compiled
def _store_failures(
    y: Any, nearest: Any, tally: Any, row_sum: Any, nearest_sum: Any, limbs: Any, failure: Any
) -> None:
    for row in range(y.shape[0]):
        low, high = 2.0 * row_sum[row] - nearest_sum[row], 2.0 * nearest_sum[row] - row_sum[row]
        sound = (low > 0.0) & (high > 0.0) & (tally[at(REACH, row)] < _INFINITY)
        finite = tally[at(REACH, row)] < _INFINITY
        failure[row] = (
            _NONE if sound else _failure(y[row], nearest[row], low, high, nearest_sum[row], finite, limbs)
        )


@compiled
def _failure(
    y: Any, nearest: Any, low: float, high: float, nearest_sum: float, finite: bool, limbs: Any
) -> Any:
    """Return the failure of a row; `low` and `high` are 2 sum(y) - sum(RN(r)) and the reverse, rounded."""
    if np.isnan(nearest_sum):
        return _FAILED_POLICY
    if not finite:
        return _FAILED_NONFINITE
    if nearest_sum == 0.0:
        return _NONE
    if low < 0.0 or (low == 0.0 and _below(limbs, y, nearest)):
        return _COLLAPSED
    if high < 0.0 or (high == 0.0 and _below(limbs, nearest, y)):
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
