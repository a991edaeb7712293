"""What is counted of a batch, compiled: verdict, counts, sums and greatest figures in one pass.

Rows go through in groups that stay in cache. A group is judged by `reference.certified.verdict`, and what
that stores of the group is counted at once, so that nothing is written out of which only counts or the
greatest are wanted. A verdict that there is already is counted by the same kernel.

The figures are those of the definitions in `counts` and `profiles`, bit for bit. Integers are counted, and
floats only compared or taken apart, so neither the order of elements nor that of batches matters.
"""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.measurement.kernels.errors import BINS, EXPONENTS, add_errors, exact_total, total_of_digits
from harness.measurement.kernels.greatest import Found, extend_greatest, greatest_rank
from harness.measurement.kernels.places import extend_peaks, new_peaks, peaks_by_bin
from reference.bounds.compiled import Constants, fill_row, room_for
from reference.bounds.screening import may_exceed, may_exceed_closely
from reference.certified.compiled import compiled, float_of, inlined
from reference.certified.verdict import GROUP, Fields, fields_of_shape, judge_rows
from reference.certified.widening import Encoded, encoded, widened
from reference.errors import ElementClass, Judgement
from reference.model import Truth
from reports.record.bins import Bins
from reports.record.profiles import GAPS
from reports.record.tally import HISTOGRAM_SHIFT

__all__ = ["Batch", "Elements", "Figures", "count_verdict", "judge_and_count"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_INFINITY: Final = 0x7FF << 52
_NONFINITE: Final = np.uint8(ElementClass.NONFINITE)
_MASKED_ZERO: Final = np.uint8(ElementClass.MASKED_ZERO)
_OUT_OF_RANGE: Final = np.uint8(ElementClass.OUT_OF_RANGE)
_FLUSHED: Final = np.uint8(ElementClass.FLUSHED)
_LOST: Final = np.uint8(ElementClass.LOST)
_UNAVOIDABLE_ZERO: Final = np.uint8(ElementClass.UNAVOIDABLE_ZERO)
_SPURIOUS_NONZERO: Final = np.uint8(ElementClass.SPURIOUS_NONZERO)
_GRADUAL: Final = np.uint8(ElementClass.GRADUAL)
_NORMAL: Final = np.uint8(ElementClass.NORMAL)
_POLICY: Final = np.uint8(ElementClass.POLICY)
_NORMAL_ALONE: Final = 1 << int(_NORMAL)
_CLASSES: Final = len(ElementClass)
_CHUNK: Final = 1 << 10
"""Elements counted together: their sums of digits, below 2^51 each, stay below 2^63."""


class _Scalars(NamedTuple):
    """Where a scalar count lies in the array that the kernel fills."""

    positive: int = 0
    representable: int = 1
    correct: int = 2
    faithful: int = 3
    negative_zeros: int = 4
    finite: int = 5
    infinite: int = 6
    lowest: int = 7
    highest: int = 8


class _Greatest(NamedTuple):
    """Where a greatest figure lies in the arrays that the kernel fills."""

    ulp: int = 0
    bound: int = 1
    algorithm: int = 2


_AT: Final = _Scalars()
_OF: Final = _Greatest()


class Elements(NamedTuple):
    """What is counted of the elements of a batch.

    Attributes:
        classes: elements of each `ElementClass`.
        positive, representable: judged elements with r > 0, with RN(r) not 0.
        correct, faithful: of those with r > 0.
        negative_zeros: judged elements that are -0.
        finite, infinite, nonfinite: of the elements with RN(r) not 0, those of finite and of infinite ULP
            error, and those whose output is nonfinite.
        histogram: ULP errors by bin, of elements with RN(r) not 0.
        total: the exact sum of the finite ones.
    """

    classes: Counts
    positive: int
    representable: int
    correct: int
    faithful: int
    negative_zeros: int
    finite: int
    infinite: int
    nonfinite: int
    histogram: Bins
    total: Fraction


class Batch(NamedTuple):
    """What errors are held against.

    Attributes:
        values: logits of shape (rows, n).
        largest: of each row, shape (rows,).
        bounds: those of the standard tier, shape (rows, n).
        own: those of the declared algorithm; of shape (0, n) where there are none.
        profiled: whether to tell where in the input errors lie.
        declared: the declared algorithm, whose bounds are made where they may count; in place of `own`.
    """

    values: Floats
    largest: Floats
    bounds: Floats
    own: Floats
    profiled: bool
    declared: Constants = Constants()


class Figures(NamedTuple):
    """What is known of a batch after one pass.

    Attributes:
        elements: what is counted of the elements.
        failure: the `RowFailure` of each row.
        row_sum_error: of each row.
        row_classes: of each row, the classes of its elements, as bits.
        first_of_class: row and element of the first of each `ElementClass` that there is.
        first_negative_zero: of the first judged element that is -0; None where there is none.
        greatest_of_rows: the greatest ULP error of each row, NaN where it has none but NaN.
        gap_errors: the histogram bin of the greatest error in each bin of the gap largest - value.
        max_ulp, bound_ratio, algorithm_ratio: the greatest with its place, the first of equals; None where
            there is none.
    """

    elements: Elements
    failure: NDArray[np.uint8]
    row_sum_error: Floats
    row_classes: NDArray[np.uint16]
    first_of_class: dict[ElementClass, tuple[int, int]]
    first_negative_zero: tuple[int, int] | None
    greatest_of_rows: Floats
    gap_errors: Bins
    max_ulp: Found | None
    bound_ratio: Found | None
    algorithm_ratio: Found | None


class _Tables(threading.local):
    """Scratch of each thread, all 0 between calls: too large to be cleared for every batch."""

    def __init__(self) -> None:
        self._histogram: NDArray[np.int64] | None = None

    def take(self) -> NDArray[np.int64]:
        """Return a histogram of zeros; an interrupted call never gives its own back."""
        taken, self._histogram = self._histogram, None
        return np.zeros(BINS, dtype=np.int64) if taken is None else taken

    def give_back(self, histogram: NDArray[np.int64]) -> None:
        """Keep a histogram that is cleared."""
        self._histogram = histogram


_TABLES: Final = _Tables()


class _Counts(NamedTuple):
    """What the kernel fills.

    Attributes:
        classes, firsts: by class, the last of `firsts` being -0; -1 where there is none.
        scalars: see `_Scalars`.
        digits: the sum of errors in units of 2^31, 2^-21, 2^-73 and 2^-125.
        sums: that of the others, see `add_error`.
        histogram: errors by bin.
        peaks: encodings of greatest errors by gap, and a last one that means nothing.
        ranks, places: see `_Greatest`; -1 where there is none.
        row_classes, row_ranks: of each row.
    """

    classes: Counts
    firsts: Counts
    scalars: Counts
    digits: Counts
    sums: Counts
    histogram: Counts
    peaks: Counts
    ranks: Counts
    places: Counts
    row_classes: NDArray[np.uint16]
    row_ranks: Counts


def judge_and_count(y: NDArray[Any], truth: Truth, batch: Batch) -> Figures:
    """Judge outputs of shape (rows, n) and count them.

    Args:
        y: outputs of the truth's format.
        truth: of the same shape.
        batch: the rows that they are of.
    """
    rows, n = truth.nearest.shape
    fmt, counts = truth.format, _new_counts(rows)
    step = max(1, min(GROUP // n, rows))
    room, fields = np.empty((step, n)), fields_of_shape((step, n))
    failure, row_sum_error = np.empty(rows, np.uint8), np.empty(rows)
    _judge_and_count(
        encoded(y, fmt), truth.nearest, truth.residual, fmt.precision, fmt.emin, batch, counts,
        GAPS.shift, GAPS.offset, room, fields, failure, row_sum_error,
    )  # fmt: skip
    return _figures(counts, n, failure, row_sum_error)


def count_verdict(judgement: Judgement, truth: Truth, batch: Batch) -> Figures:
    """Count outputs of shape (rows, n) that have been judged."""
    rows, n = truth.nearest.shape
    counts = _new_counts(rows)
    fields = Fields(**vars(judgement))
    _count(fields, truth.nearest, truth.residual, batch, 0, GAPS.shift, GAPS.offset, counts)
    return _figures(counts, n, judgement.failure, judgement.row_sum_error)


def _new_counts(rows: int) -> _Counts:
    scalars = np.zeros(len(_AT), dtype=np.int64)
    scalars[_AT.lowest] = BINS
    return _Counts(
        classes=np.zeros(_CLASSES, dtype=np.int64),
        firsts=np.full(_CLASSES + 1, -1, dtype=np.int64),
        scalars=scalars,
        digits=np.zeros(4, dtype=np.int64),
        sums=np.zeros((EXPONENTS, 2), dtype=np.int64),
        histogram=_TABLES.take(),
        peaks=new_peaks(),
        ranks=np.full(len(_OF), -1, dtype=np.int64),
        places=np.full(len(_OF), -1, dtype=np.int64),
        row_classes=np.zeros(rows, dtype=np.uint16),
        row_ranks=np.full(rows, -1, dtype=np.int64),
    )


def _figures(counts: _Counts, n: int, failure: NDArray[np.uint8], row_sum_error: Floats) -> Figures:
    firsts = [None if place < 0 else divmod(place, n) for place in counts.firsts.tolist()]
    ranks, places = counts.ranks.view(np.float64).tolist(), counts.places.tolist()
    found = [None if at < 0 else (rank, *divmod(at, n)) for rank, at in zip(ranks, places, strict=True)]
    return Figures(
        elements=_elements(counts),
        failure=failure,
        row_sum_error=row_sum_error,
        row_classes=counts.row_classes,
        first_of_class={kind: first for kind in ElementClass if (first := firsts[kind]) is not None},
        first_negative_zero=firsts[_CLASSES],
        greatest_of_rows=np.where(counts.row_ranks < 0, np.nan, counts.row_ranks.view(np.float64)),
        gap_errors=peaks_by_bin(counts.peaks),
        max_ulp=found[_OF.ulp],
        bound_ratio=found[_OF.bound],
        algorithm_ratio=found[_OF.algorithm],
    )


def _elements(counts: _Counts) -> Elements:
    named = _Scalars._make(counts.scalars.tolist())
    return Elements(
        classes=counts.classes,
        positive=named.positive,
        representable=named.representable,
        correct=named.correct,
        faithful=named.faithful,
        negative_zeros=named.negative_zeros,
        finite=named.finite,
        infinite=named.infinite,
        nonfinite=named.representable - named.finite - named.infinite,
        histogram=_harvest(counts.histogram, named),
        total=exact_total(counts.sums) + total_of_digits(counts.digits.tolist()),
    )


def _harvest(table: Counts, named: _Scalars) -> Bins:
    """Take the counts of the bins in use out of a table, and give it back; add that of infinite errors."""
    most = max(0, min(named.highest - named.lowest + 1, named.finite))
    keys, numbers = np.empty(most + 1, dtype=np.int64), np.empty(most + 1, dtype=np.int64)
    used = _move_counts(table, named.lowest, named.highest, keys, numbers)
    keys, numbers = keys[:used], numbers[:used]
    _TABLES.give_back(table)
    if named.infinite:
        keys = np.append(keys, _INFINITY >> HISTOGRAM_SHIFT)
        numbers = np.append(numbers, named.infinite)
    return Bins(keys, numbers)


@compiled
def _move_counts(table: Any, lowest: int, highest: int, keys: Any, numbers: Any) -> int:
    """Move what a table holds in bin 0 and from one bin to another into pairs; return how many there are."""
    used = 0
    if table[0]:
        keys[0], numbers[0], used, table[0] = 0, table[0], 1, 0
    for number in range(lowest, highest + 1):
        if table[number]:
            keys[used], numbers[used] = number, table[number]
            used, table[number] = used + 1, 0
    return used


@compiled
def _judge_and_count(
    y: Encoded, nearest: Any, residual: Any, precision: int, emin: int, batch: Batch, counts: _Counts,
    shift: int, offset: int, room: Any, fields: Fields, failure: Any, row_sum_error: Any,
) -> None:  # fmt: skip
    """Judge and count rows group by group, `room` and `fields` being scratch for a group."""
    rows = nearest.shape[0]
    step = room.shape[0]
    for first in range(0, rows, step):
        last = min(first + step, rows)
        some = last - first
        values = widened(y, first, last, room)
        group = Fields(
            fields.ulp[:some], fields.classes[:some], fields.correct[:some], fields.faithful[:some],
            fields.negative_zero[:some], fields.row_sum[:some], fields.nearest_sum[:some],
            row_sum_error[first:last], failure[first:last],
        )  # fmt: skip
        judge_rows(values, nearest[first:last], residual[first:last], group, precision, emin)
        part = Batch(
            batch.values[first:last], batch.largest[first:last], batch.bounds[first:last],
            batch.own[first:last], batch.profiled, batch.declared,
        )  # fmt: skip
        _count(group, nearest[first:last], residual[first:last], part, first, shift, offset, counts)


@compiled
def _count(
    fields: Fields, nearest: Any, residual: Any, batch: Batch, first_row: int, shift: int, offset: int,
    counts: _Counts,
) -> None:  # fmt: skip
    """Add rows (rows, n) that have been judged to the counts, chunk by chunk."""
    rows, n = nearest.shape
    ulp, classes = fields.ulp.reshape(-1), fields.classes.reshape(-1)
    correct, faithful = fields.correct.reshape(-1), fields.faithful.reshape(-1)
    negative_zero = fields.negative_zero.reshape(-1)
    targets, rests = nearest.reshape(-1), residual.reshape(-1)
    bounds, own = batch.bounds.reshape(-1), batch.own.reshape(-1)
    room, numbers = np.empty(_CHUNK), np.empty(_CHUNK, np.int64)
    step = _CHUNK if n > _CHUNK else _CHUNK // n * n
    base = first_row * n
    for a in range(0, rows * n, step):
        b = min(a + step, rows * n)
        if _are_plain(classes[a:b], negative_zero[a:b]):
            _count_plain(correct[a:b], faithful[a:b], base + a, counts)
            for row in range(a // n, (b - 1) // n + 1):
                counts.row_classes[first_row + row] |= _NORMAL_ALONE
        else:
            _count_any(
                classes[a:b], correct[a:b], faithful[a:b], negative_zero[a:b], targets[a:b], rests[a:b], n,
                base + a, counts,
            )  # fmt: skip
        _add_counted(ulp[a:b], targets[a:b], room, counts)
        extend_greatest(ulp[a:b], ulp[a:b], False, base + a, _OF.ulp, counts.ranks, counts.places)
        extend_greatest(ulp[a:b], bounds[a:b], True, base + a, _OF.bound, counts.ranks, counts.places)
        if own.size:
            extend_greatest(ulp[a:b], own[a:b], True, base + a, _OF.algorithm, counts.ranks, counts.places)
        if batch.profiled:
            for row in range(a // n, (b - 1) // n + 1):
                i, j = max(a, row * n), min(b, (row + 1) * n)
                rank = greatest_rank(ulp[i:j])
                counts.row_ranks[first_row + row] = max(counts.row_ranks[first_row + row], rank)
                extend_peaks(
                    batch.values[row, i - row * n : j - row * n], batch.largest[row], ulp[i:j], shift, offset,
                    numbers, counts.peaks,
                )  # fmt: skip
    if batch.declared.outer_precision > 0:
        _extend_screened(fields.ulp, nearest, residual, batch, first_row, counts.ranks, counts.places)


@inlined
def _are_plain(classes: Any, negative_zero: Any) -> bool:
    """Tell whether all elements are of the class normal, and none is -0."""
    other = np.uint8(0)
    for i in range(classes.size):
        other |= (classes[i] ^ _NORMAL) | np.uint8(negative_zero[i])
    plain: bool = other == 0
    return plain


@inlined
def _count_plain(correct: Any, faithful: Any, base: int, counts: _Counts) -> None:
    if counts.firsts[_NORMAL] < 0:
        counts.firsts[_NORMAL] = base
    counts.classes[_NORMAL] += correct.size
    counts.scalars[_AT.positive] += correct.size
    counts.scalars[_AT.representable] += correct.size
    counts.scalars[_AT.correct] += _count_true(correct)
    counts.scalars[_AT.faithful] += _count_true(faithful)


@compiled
def _count_any(
    classes: Any, correct: Any, faithful: Any, negative_zero: Any, nearest: Any, residual: Any, n: int,
    base: int, counts: _Counts,
) -> None:  # fmt: skip
    """Count elements of any class; what is positive or representable follows from most classes."""
    seen = _classes_of_rows(classes, n, base, counts.row_classes)
    by_class, scalars = np.zeros(_CLASSES, np.int64), counts.scalars
    for kind in range(_CLASSES):
        if (seen >> kind) & 1:
            by_class[kind] = _count_of(classes, np.uint8(kind))
    _note_firsts(classes, seen, base, counts.firsts)
    rounded, close, signed = _count_true(correct), _count_true(faithful), _count_true(negative_zero)
    representables = by_class[_FLUSHED] + by_class[_LOST] + by_class[_GRADUAL] + by_class[_NORMAL]
    positives = representables + by_class[_UNAVOIDABLE_ZERO] + by_class[_SPURIOUS_NONZERO]
    if by_class[_NONFINITE] + by_class[_OUT_OF_RANGE]:
        for i in range(classes.size):
            of_any_result = (classes[i] == _NONFINITE) | (classes[i] == _OUT_OF_RANGE)
            representables += int(of_any_result & (nearest[i] != 0.0))
            positives += int(of_any_result & ((nearest[i] != 0.0) | (residual[i] != 0.0)))
    counts.classes[:] += by_class
    scalars[_AT.representable] += representables
    scalars[_AT.positive] += positives
    scalars[_AT.correct] += rounded - by_class[_MASKED_ZERO]
    scalars[_AT.faithful] += close - by_class[_MASKED_ZERO]
    if signed:
        _count_negative_zeros(classes, negative_zero, base, counts)


@compiled
def _count_of(classes: Any, kind: Any) -> int:
    count = 0
    for i in range(classes.size):
        count += int(classes[i] == kind)
    return count


@compiled
def _count_true(flags: Any) -> int:
    count = 0
    for i in range(flags.size):
        count += int(flags[i])
    return count


@inlined
def _classes_of_rows(classes: Any, n: int, base: int, row_classes: Any) -> int:
    """Note the classes of each row, and return those of all, as bits."""
    seen = 0
    end = base + classes.size
    for row in range(base // n, (end - 1) // n + 1):
        mine = np.uint32(0)
        for i in range(max(base, row * n) - base, min(end, (row + 1) * n) - base):
            mine |= np.uint32(1) << np.uint32(classes[i])
        row_classes[row] |= mine
        seen |= int(mine)
    return seen


@inlined
def _note_firsts(classes: Any, seen: int, base: int, firsts: Any) -> None:
    for kind in range(_CLASSES):
        if (firsts[kind] < 0) & ((seen >> kind) & 1):
            for i in range(classes.size):
                if classes[i] == kind:
                    firsts[kind] = base + i
                    break


@inlined
def _count_negative_zeros(classes: Any, negative_zero: Any, base: int, counts: _Counts) -> None:
    for i in range(classes.size):
        if negative_zero[i] & (classes[i] != _POLICY):
            counts.scalars[_AT.negative_zeros] += 1
            if counts.firsts[_CLASSES] < 0:
                counts.firsts[_CLASSES] = base + i


@compiled
def _add_counted(ulp: Any, nearest: Any, room: Any, counts: _Counts) -> None:
    """Count and add up the errors of elements with RN(r) not 0, of which those of policy rows are NaN.

    Those that are not finite stand for 0, which is taken out of its bin again.
    """
    left_out = infinite = 0
    errors = room[: ulp.size]
    for i in range(ulp.size):
        counted = (ulp[i] < math.inf) & (nearest[i] != 0.0)
        errors[i] = ulp[i] if counted else 0.0
        left_out += int(not counted)
        infinite += int((ulp[i] == math.inf) & (nearest[i] != 0.0))
    lowest, highest = add_errors(errors, counts.histogram, counts.digits, counts.sums)
    counts.scalars[_AT.lowest] = min(counts.scalars[_AT.lowest], lowest)
    counts.scalars[_AT.highest] = max(counts.scalars[_AT.highest], highest)
    counts.histogram[0] -= left_out
    counts.scalars[_AT.finite] += ulp.size - left_out
    counts.scalars[_AT.infinite] += infinite


@compiled
def _extend_screened(
    ulp: Any, nearest: Any, residual: Any, batch: Batch, first_row: int, ranks: Any, places: Any
) -> None:
    """Do as `extend_greatest` with the bounds of the declared algorithm, row by row where they may count.

    All rows are tested at first, in a loop of its own: what follows takes the vector units away from it.
    """
    rows, n = nearest.shape
    bounds, room, left, number = np.empty((1, n)), room_for(n), np.empty(rows, np.int64), 0
    ratio = _ratio_of(ranks[_OF.algorithm])
    for row in range(rows):
        left[number] = row
        number += int(may_exceed(batch.values, nearest, residual, ulp, row, ratio, batch.declared))
    for row in left[:number]:
        ratio = _ratio_of(ranks[_OF.algorithm])
        if nearest[row, 0] >= 0.0 and may_exceed_closely(
            batch.values, nearest, residual, ulp, row, ratio, batch.declared
        ):
            fill_row(batch.values, nearest, residual, row, bounds, 0, room, batch.declared)
            base = (first_row + row) * n
            extend_greatest(ulp[row], bounds[0], True, base, _OF.algorithm, ranks, places)


@inlined
def _ratio_of(rank: int) -> float:
    """Return the greatest ratio so far, -1 where there is none."""
    ratio: float = float_of(rank) if rank >= 0 else -1.0
    return ratio
