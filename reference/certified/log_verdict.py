"""The verdict of `reference.log_errors`, compiled: one pass over outputs and truth.

The figures are those of the specification. Rows in which a number reaches 2^900 or the format's largest,
or an output above 300, are left to it: there the products of the pass would leave their range. So are masked
entries in a format without infinities, and rows of log_softmax without a result from -250 up, as a sink makes
them. Sums of exponentials are `binary64`'s, within 2^-46 of themselves; below exp(-300) an exponential counts
as 0, which is less than 2^-72 for each beside one of exp(-250).
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.certified import binary64
from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern, two_sum
from reference.certified.layout import BLOCK, LANES, Outputs, add_lanes, sum_of_lanes
from reference.certified.logarithms import LogPlan, decide_logarithms, plan_for, truth_by_plan
from reference.certified.parallel import deal_rows
from reference.certified.tiers import validate
from reference.certified.verdict import GROUP, Fields, fields_of_shape, part_of, slice_of
from reference.certified.widening import Encoded, encoded, rows_of, widened
from reference.errors import ElementClass, Judgement, RowFailure
from reference.formats import FloatFormat
from reference.log_errors import SMALLEST_TOP, SUM_ERROR, judge_log_softmax, judge_logsumexp
from reference.model import Truth

__all__ = ["evaluate_logarithms", "judge_logarithms"]

_INF: Final = math.inf
_EXPONENT_FIELD: Final = 0x7FF << FRACTION_BITS
_NEGATIVE_ZERO: Final = -(1 << 63)
_FARTHEST: Final = 2.0**900
_STEEPEST: Final = 300.0
_LEAST_SUM: Final = math.exp(SMALLEST_TOP)
_MAGNITUDE: Final = (1 << 63) - 1
_FAR: Final = (1023 + 300) << FRACTION_BITS
"""The encoding of 2^300."""

_LOG_2: Final = float.fromhex("0x1.62e42fefa39f0p-1")
"""The float64 next to log 2 from above, as the specification takes it."""

_NONFINITE: Final = np.uint8(ElementClass.NONFINITE)
_MASK_LEAK: Final = np.uint8(ElementClass.MASK_LEAK)
_MASKED_ZERO: Final = np.uint8(ElementClass.MASKED_ZERO)
_OUT_OF_RANGE: Final = np.uint8(ElementClass.OUT_OF_RANGE)
_GRADUAL: Final = np.uint8(ElementClass.GRADUAL)
_NORMAL: Final = np.uint8(ElementClass.NORMAL)
_POLICY: Final = np.uint8(ElementClass.POLICY)
_NONE: Final = np.uint8(RowFailure.NONE)
_FAILED_NONFINITE: Final = np.uint8(RowFailure.NONFINITE)
_COLLAPSED: Final = np.uint8(RowFailure.COLLAPSED)
_INFLATED: Final = np.uint8(RowFailure.INFLATED)
_FAILED_POLICY: Final = np.uint8(RowFailure.POLICY)


class _Measure(NamedTuple):
    """What the verdict needs of an op and a format."""

    reduces: bool
    precision: int
    emin: int
    largest: float
    masks: bool
    coefficients: tuple[float, ...]


def evaluate_logarithms(
    x: NDArray[np.float64], y: NDArray[Any], fmt: FloatFormat, jobs: int = 1, *, reduces: bool
) -> tuple[Judgement, int]:
    """Return the verdict on outputs y for logits x, and how many results mpmath decided, in one pass.

    Args:
        x: logits of shape (rows, n) in float64.
        y: outputs of shape (rows, n), or (rows, 1) of an op that reduces, in `fmt` or in float64.
        fmt: the output format.
        jobs: how many threads share the rows.
        reduces: whether y is a logsumexp; else it is a log_softmax.

    Raises:
        ValueError: the shapes do not fit, the rows have no entries, or jobs < 1.
    """
    validate(x)
    shape = (len(x), 1) if reduces else x.shape
    if y.shape != shape:
        raise ValueError(f"y of shape {y.shape}: x has shape {x.shape}; it must be {shape}")
    fields, outputs = fields_of_shape(shape), encoded(y, fmt)
    plan, measure = plan_for(fmt, x.shape[1], reduces=reduces), _measure_of(fmt, reduces=reduces)

    def work(rows: slice) -> int:
        logits, mine = np.require(x[rows], requirements=["C", "W"]), part_of(fields, rows)
        left = np.flatnonzero(_evaluate_rows(logits, rows_of(outputs, rows), mine, plan, measure))
        if not left.size:
            return 0
        truth = truth_by_plan(logits[left], fmt, plan)
        _judge_plainly(y[rows][left], truth, mine, left, reduces=reduces)
        return truth.fallbacks

    fallbacks = sum(deal_rows(work, x.shape[0], x.shape[1], jobs))
    return Judgement(**fields._asdict()), fallbacks


def judge_logarithms(y: NDArray[Any], truth: Truth, jobs: int = 1, *, reduces: bool) -> Judgement:
    """Judge outputs y of the truth's shape, as `reference.log_errors` does.

    Raises:
        ValueError: y has another shape than the truth, another dtype than its format, or jobs < 1.
    """
    if y.shape != truth.nearest.shape:
        raise ValueError(f"y of shape {y.shape}: the truth has shape {truth.nearest.shape}; they must match")
    fields, outputs = fields_of_shape(y.shape), encoded(y, truth.format)
    measure = _measure_of(truth.format, reduces=reduces)

    def work(rows: slice) -> None:
        mine = part_of(fields, rows)
        nearest, residual = (
            np.require(a[rows], requirements=["C", "W"]) for a in (truth.nearest, truth.residual)
        )
        left = np.flatnonzero(_judge_encoded(rows_of(outputs, rows), nearest, residual, mine, measure))
        if left.size:
            some = rows.start + left
            part = truth.of_rows(some)
            _judge_plainly(y[some], part, mine, left, reduces=reduces)

    deal_rows(work, y.shape[0], y.shape[1], jobs)
    return Judgement(**fields._asdict())


def _measure_of(fmt: FloatFormat, *, reduces: bool) -> _Measure:
    largest = min(float(fmt.largest), _FARTHEST)
    return _Measure(reduces, fmt.precision, fmt.emin, largest, fmt.has_infinity, binary64.COEFFICIENTS)


def _judge_plainly(
    y: NDArray[Any], truth: Truth, fields: Fields, rows: NDArray[np.intp], *, reduces: bool
) -> None:
    judgement = (judge_logsumexp if reduces else judge_log_softmax)(y, truth)
    for name, values in fields._asdict().items():
        values[rows] = getattr(judgement, name)


@compiled
def _evaluate_rows(x: Any, y: Encoded, fields: Fields, plan: LogPlan, measure: _Measure) -> Any:
    """Fill the fields of all rows, and tell which are left to the specification."""
    rows, n, width = x.shape[0], x.shape[1], fields.ulp.shape[1]
    step = max(1, GROUP // n)
    room, nearest, residual = np.empty((step, width)), np.empty((step, width)), np.empty((step, width))
    kinds, undecided, left = np.empty(step, np.uint8), np.empty(rows, np.int64), np.empty(rows, np.bool_)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        some = last - first
        truth = Outputs(nearest[:some], residual[:some], kinds[:some], undecided[first:last])
        decide_logarithms(x[first:last], truth, plan)
        values = widened(y, first, last, room)
        _judge_rows(
            values, nearest[:some], residual[:some], slice_of(fields, first, last), measure, left[first:last]
        )
    return left | (undecided > 0)


@compiled
def _judge_encoded(y: Encoded, nearest: Any, residual: Any, fields: Fields, measure: _Measure) -> Any:
    """Fill the fields of all rows, and tell which are left to the specification."""
    rows, n = nearest.shape
    step, left = max(1, GROUP // n), np.empty(rows, np.bool_)
    room = np.empty((step, n))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        values, some = widened(y, first, last, room), slice_of(fields, first, last)
        _judge_rows(values, nearest[first:last], residual[first:last], some, measure, left[first:last])
    return left


@compiled
def _judge_rows(y: Any, nearest: Any, residual: Any, fields: Fields, measure: _Measure, left: Any) -> None:
    terms, lanes = np.empty((1, BLOCK)), np.empty(LANES)
    for row in range(y.shape[0]):
        left[row] = nonfinite = False
        if _judge_plain(
            y[row], nearest[row], residual[row], measure, fields.ulp[row], fields.correct[row],
            fields.faithful[row],
        ):  # fmt: skip
            fields.classes[row, :], fields.negative_zero[row, :] = _NORMAL, False
        else:
            left[row], nonfinite = _judge_elements(
                y[row], nearest[row], residual[row], measure, fields.ulp[row], fields.correct[row],
                fields.faithful[row], fields.classes[row], fields.negative_zero[row],
            )  # fmt: skip
        if measure.reduces:
            y_sum = nearest_sum = np.nan
            allowed = _LOG_2 + _ulp(nearest[row, 0], residual[row, 0], measure)
            difference = y[row, 0] - nearest[row, 0]
            collapsed, inflated = difference < -allowed, difference > allowed
        else:
            y_sum = _sum_of_exp(y[row], measure.coefficients, terms, lanes)
            nearest_sum = _sum_of_exp(nearest[row], measure.coefficients, terms, lanes)
            collapsed = 2.0 * y_sum < nearest_sum * (1.0 - SUM_ERROR)
            inflated = y_sum > 2.0 * nearest_sum * (1.0 + SUM_ERROR)
            left[row] |= nearest_sum < _LEAST_SUM
        fields.row_sum[row], fields.nearest_sum[row] = y_sum, nearest_sum
        fields.row_sum_error[row] = abs(y_sum - nearest_sum)
        failure = _COLLAPSED if collapsed else (_INFLATED if inflated else _NONE)
        failure = _FAILED_NONFINITE if nonfinite else failure
        fields.failure[row] = _FAILED_POLICY if np.isnan(nearest[row, 0]) else failure


@inlined
def _ulp(target: float, rest: float, measure: _Measure) -> float:
    towards = ((rest < 0.0) & (target > 0.0)) | ((rest > 0.0) & (target < 0.0))
    smallest = np.int64(measure.emin + 1023) << FRACTION_BITS
    binade = max((pattern(abs(target)) - int(towards)) & _EXPONENT_FIELD, smallest)
    step: float = float_of(binade) * 2.0 ** (1 - measure.precision)
    return step


@compiled
def _judge_plain(
    y: Any, nearest: Any, residual: Any, measure: _Measure, ulp: Any, correct: Any, faithful: Any
) -> bool:
    """Fill the fields of a row of numbers within the format, and tell whether it is one.

    It has outputs of at most 2^300, of log_softmax no positive one and no -0, and results that are normal.
    """
    smallest = np.int64(measure.emin + 1023) << FRACTION_BITS
    inverse_of = np.int64(2046) << FRACTION_BITS
    last_place, first_place = 2.0 ** (1 - measure.precision), 2.0 ** (measure.precision - 1)
    reach, largest, least = 0, 0, _MAGNITUDE
    greatest, lowest = _NEGATIVE_ZERO, _MAGNITUDE
    for j in range(y.size):
        value, target, rest = y[j], nearest[j], residual[j]
        towards = ((rest < 0.0) & (target > 0.0)) | ((rest > 0.0) & (target < 0.0))
        size = pattern(target) & _MAGNITUDE
        binade = max((size - int(towards)) & _EXPONENT_FIELD, smallest)
        scale = float_of(inverse_of - binade)
        high, low = two_sum(value, -target)
        ulp[j] = abs((high * scale) * first_place + ((low * scale) * first_place - rest))
        step = math.copysign(float_of(binade) * last_place, rest)
        correct[j] = value == target
        faithful[j] = (value == target) | ((value == target + step) & (rest != 0.0))
        key = pattern(value)
        reach = max(reach, key & _MAGNITUDE)
        greatest, lowest = max(greatest, key), min(lowest, key)
        largest, least = max(largest, size), min(least, size)
    outputs = (reach <= _FAR) & (lowest > _NEGATIVE_ZERO) & (measure.reduces | (greatest <= 0))
    plain: bool = outputs & (least >= smallest) & (largest < pattern(measure.largest))
    return plain


@compiled
def _judge_elements(
    y: Any, nearest: Any, residual: Any, measure: _Measure, ulp: Any, correct: Any, faithful: Any,
    classes: Any, negative_zero: Any,
) -> tuple[bool, bool]:  # fmt: skip
    """Fill the fields of a row's elements; return whether it is left open, and whether one is nonfinite."""
    smallest = np.int64(measure.emin + 1023) << FRACTION_BITS
    inverse_of = np.int64(2046) << FRACTION_BITS
    last_place, first_place = 2.0 ** (1 - measure.precision), 2.0 ** (measure.precision - 1)
    least, most, steepest = 2.0**measure.emin, _INF if measure.reduces else 0.0, _STEEPEST
    steepest = _FARTHEST if measure.reduces else steepest
    is_left, some_nonfinite = False, False
    for j in range(y.size):
        value, target, rest = y[j], nearest[j], residual[j]
        size = abs(target)
        towards = ((rest < 0.0) & (target > 0.0)) | ((rest > 0.0) & (target < 0.0))
        binade = max((pattern(size) - int(towards)) & _EXPONENT_FIELD, smallest)
        scale = float_of(inverse_of - binade)
        high, low = two_sum(value, -target)
        figure = abs((high * scale) * first_place + ((low * scale) * first_place - rest))
        step = math.copysign(float_of(binade) * last_place, rest)
        finite, near = abs(value) < _INF, value == target
        masked = (target == -_INF) & (not measure.reduces)
        of_masked = _INF if finite else (0.0 if near else np.nan)
        ulp[j] = of_masked if masked else (figure if finite else np.nan)
        correct[j] = near
        faithful[j] = near | ((value == target + step) & (rest != 0.0))
        kind = _GRADUAL if size < least else _NORMAL
        kind = _OUT_OF_RANGE if value > most else kind
        kind = (_MASKED_ZERO if near else _MASK_LEAK) if masked else kind
        nonfinite = (not finite) & (not near)
        kind = _NONFINITE if nonfinite else kind
        classes[j] = _POLICY if np.isnan(target) else kind
        zero_or_above = (target > 0.0) | ((target == 0.0) & (rest >= 0.0))
        negative_zero[j] = (pattern(value) == _NEGATIVE_ZERO) & zero_or_above
        some_nonfinite |= nonfinite
        beyond = (size >= measure.largest) & ((not masked) | (rest != 0.0) | (not measure.masks))
        is_left |= beyond | (finite & ((value > steepest) | (value < -_FARTHEST)))
    return is_left, some_nonfinite


@inlined
def _sum_of_exp(values: Any, c: Any, terms: Any, lanes: Any) -> float:
    high = low = 0.0
    for start in range(0, values.size, BLOCK):
        size = min(BLOCK, values.size - start)
        for i in range(size):
            value = values[np.uint64(start) + np.uint64(i)]
            w = binary64.weight(value, 0.0, c)
            w = w if value >= -_STEEPEST else 0.0
            terms[0, i] = w if value < _INF else value
            terms[0, i] = value if np.isnan(value) else terms[0, i]
        lanes[:] = 0.0
        add_lanes(terms, 0, 0, size, lanes)
        high, rest = two_sum(high, sum_of_lanes(lanes))
        low += rest
    total: float = high + low
    return total if abs(high) < _INF else high
