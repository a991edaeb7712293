"""Counting many rows at little cost: what is plain is counted in bulk, the rest is measured in full.

A row is *settled* if one entry lies further above every other than `reach`, and the outputs are 1 and 0,
as they must be. With D = max - x_j > reach for the n - 1 others, their weights add up to s < n exp(-reach)
<= 2^-22 eta. So r_j / eta is in (0, 2^-22], and RN(r_j) = 0; and r_max = 1 / (1 + s) is below 1 by at most
s <= 2^-22 2^-p, and RN(r_max) = 1: the error of that output 1 is below the tolerance of all residuals. (The
distance is computed in binary64, where rounding is monotone: fl(D) > reach only if D > reach.)

A row is *plain* if the verdict finds neither a failure nor a spurious zero nor anything out of
range; of these only the counts are taken, and the worst. Everything else goes through `measure`.
What is not counted so is left out of the tally: the ratios to the bounds, and the profiles.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Rows, measure
from harness.measurement.kernels.errors import BINS, EXPONENTS, add_error, exact_total
from harness.subject.subject import Subject
from reference.certified.compiled import compiled, pattern
from reference.errors import ElementClass, Judgement, RowFailure
from reference.formats import FloatFormat
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey

__all__ = ["Counting", "reach", "settled_tally", "without_profiles"]

_RECORDS: Final = ("max_ulp", "row_sum")

_UNAVOIDABLE_ZERO: Final = np.uint8(ElementClass.UNAVOIDABLE_ZERO)
_SPURIOUS_NONZERO: Final = np.uint8(ElementClass.SPURIOUS_NONZERO)
_GRADUAL: Final = np.uint8(ElementClass.GRADUAL)
_NORMAL: Final = np.uint8(ElementClass.NORMAL)
_NO_FAILURE: Final = np.uint8(RowFailure.NONE)


class Counting:
    """The tally of finite rows, without ratios and profiles, batch by batch.

    Args:
        cell: the cell that the witnesses will name.
        subject: whose rows they are.
    """

    def __init__(self, cell: CellKey, subject: Subject) -> None:
        self._cell, self._subject = cell, subject
        self._reach = reach(subject.out, cell.length)
        self._results = 1 if subject.op.reduces else cell.length
        self._counts = _no_counts()
        self._settled = self._fallbacks = 0
        self._records: dict[str, _Rows] = {}
        self._measured: list[Tally] = []

    def add(self, x: NDArray[Any], y: NDArray[Any], numbers: NDArray[np.int64]) -> None:
        """Count finite rows of shape (rows, n) with their outputs and numbers."""
        rows, op, out = _Rows(x, y, numbers), self._subject.op, self._subject.out
        values, outputs = self._subject.format.to_float64(x), out.to_float64(y)
        rest = np.arange(len(x))
        if op.underflows and not op.fused.moves:  # else results of 1 and 0 settle nothing
            rest = np.flatnonzero(~_settled(values, outputs, self._reach))
        self._settled += len(x) - rest.size
        if rest.size:
            judgement, fallbacks = op.evaluate(values[rest], outputs[rest], out, 1)
            self._fallbacks += fallbacks
            odd = self._count(judgement, rows, rest)
            if odd.any():
                self._measured.append(self._measure(rows.take(rest[odd])))

    def tally(self) -> Tally:
        """Return what was counted so far."""
        records = (self._measure(row).witnesses for row in self._records.values())
        kinds = zip(self._records, records, strict=True)
        witnesses = tuple(w for kind, found in kinds for w in found if w.kind == kind)
        plain = replace(_plain_tally(self._counts, self._results), fallbacks=self._fallbacks)
        if self._subject.op.reduces:  # one result has no sum
            plain = replace(plain, worst_row_sum_error=None)
        settled = settled_tally(self._settled, self._cell.length)
        return merge([settled, replace(plain, witnesses=witnesses), *self._measured])

    def _count(self, judgement: Judgement, rows: _Rows, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Count the plain rows, keep those that set a record, and tell which rows are odd."""
        verdict = _Verdict._make(getattr(judgement, name) for name in _Verdict._fields)
        odd: NDArray[np.bool_] = _odd_rows(verdict)
        _count(verdict, odd, self._counts)
        _note_records(verdict, odd, self._counts)
        for kind, row in zip(_RECORDS, self._counts.record_rows.tolist(), strict=True):
            if row >= 0:
                self._records[kind] = rows.take(numbers[row : row + 1])
        return odd

    def _measure(self, rows: _Rows) -> Tally:
        """Return the full measurement of some rows, without what is not counted of all."""
        batch = Rows.about(self._subject, rows.x, labels=rows.labels)
        return without_profiles(measure(self._cell, batch, rows.y, self._subject.declaration))


class _Rows(NamedTuple):
    """Rows and outputs, and the numbers that name them."""

    x: NDArray[Any]
    y: NDArray[Any]
    numbers: NDArray[np.int64]

    def take(self, chosen: NDArray[np.intp]) -> _Rows:
        """Return some rows."""
        return _Rows(self.x[chosen], self.y[chosen], self.numbers[chosen])

    @property
    def labels(self) -> tuple[str, ...]:
        """What each is called."""
        return tuple(f"row {number}" for number in self.numbers.tolist())


def without_profiles(tally: Tally) -> Tally:
    """Return a tally without what is not counted of all rows."""
    return replace(
        tally,
        max_bound_ratio=None,
        max_algorithm_ratio=None,
        places={},
        place_errors={},
        gap_errors={},
        gap_bounds={},
        witnesses=tuple(w for w in tally.witnesses if w.kind not in ("bound_ratio", "algorithm_ratio")),
    )


# Settled rows ----------------------------------------------------------------------------


def reach(fmt: FloatFormat, n: int) -> float:
    """Return a distance at which n exp(-distance) <= 2^-22 eta; ln 2 < 0.69315."""
    return math.ceil((22 - fmt.quantum_exponent + n.bit_length()) * 0.69315)


@compiled
def _settled(values: Any, outputs: Any, reach: float) -> Any:
    """Tell which rows have one dominant entry, output 1, and +0 for all others; n = 1 is none."""
    rows, n = values.shape
    settled = np.empty(rows, dtype=np.bool_)
    for row in range(rows):
        top = 0
        for j in range(1, n):
            top = j if values[row, j] > values[row, top] else top
        good = (n > 1) & (outputs[row, top] == 1.0)
        for j in range(n):
            distance = values[row, top] - values[row, j]
            beyond = (distance > reach) & (distance < np.inf) & (pattern(outputs[row, j]) == 0)
            good &= beyond | (j == top)
        settled[row] = good
    return settled


def settled_tally(rows: int, n: int) -> Tally:
    """Count settled rows: one error below the tolerance each, taken as 0, and n - 1 harmless zeros."""
    if not rows:
        return Tally()
    return Tally(
        rows=rows,
        completed=rows,
        elements=rows * n,
        positive=rows * n,
        representable=rows,
        correct=rows * n,
        faithful=rows * n,
        ulp_count=rows,
        max_ulp=0.0,
        worst_row_sum_error=0.0,
        row_kinds={"finite": rows},
        outcomes={"ok": rows},
        classes={"normal": rows, "unavoidable_zero": rows * (n - 1)},
        histogram={0: rows},
    )


# Plain rows ------------------------------------------------------------------------------


class _Counts(NamedTuple):
    """What the kernel fills.

    Attributes:
        rows, correct, faithful: how many rows, and elements, as arrays of one entry.
        classes: how many elements of each class.
        histogram: ULP errors by bin, where RN(r) is not 0.
        sums: significands of those errors by exponent, in two halves.
        records: the greatest ULP error and the greatest row sum error.
        record_rows: the rows of the last call that set them, -1 where none did.
    """

    rows: NDArray[np.int64]
    correct: NDArray[np.int64]
    faithful: NDArray[np.int64]
    classes: NDArray[np.int64]
    histogram: NDArray[np.int64]
    sums: NDArray[np.int64]
    records: NDArray[np.float64]
    record_rows: NDArray[np.int64]


def _no_counts() -> _Counts:
    rows, correct, faithful, classes, histogram = (
        np.zeros(size, dtype=np.int64) for size in (1, 1, 1, len(ElementClass), BINS)
    )
    sums, record_rows = np.zeros((EXPONENTS, 2), dtype=np.int64), np.zeros(len(_RECORDS), dtype=np.int64)
    return _Counts(rows, correct, faithful, classes, histogram, sums, np.zeros(len(_RECORDS)), record_rows)


class _Verdict(NamedTuple):
    """What the kernels read of a `Judgement`."""

    ulp: Any
    classes: Any
    correct: Any
    faithful: Any
    negative_zero: Any
    row_sum_error: Any
    failure: Any


@compiled
def _odd_rows(verdict: _Verdict) -> Any:
    """Tell which rows hold anything but harmless elements of finite error."""
    ulp, classes, negative_zero, failure = (
        verdict.ulp, verdict.classes, verdict.negative_zero, verdict.failure,
    )  # fmt: skip
    odd = np.empty(failure.size, dtype=np.bool_)
    for row in range(failure.size):
        found = failure[row] != _NO_FAILURE
        for j in range(ulp.shape[1]):
            found |= (classes[row, j] < _UNAVOIDABLE_ZERO) | (classes[row, j] > _NORMAL)
            found |= negative_zero[row, j] | ((classes[row, j] >= _GRADUAL) & ~(ulp[row, j] < np.inf))
        odd[row] = found
    return odd


@compiled
def _count(verdict: _Verdict, odd: Any, counts: _Counts) -> None:
    """Count the elements of plain rows."""
    ulp, classes, correct, faithful = verdict.ulp, verdict.classes, verdict.correct, verdict.faithful
    by_class, histogram, sums = counts.classes, counts.histogram, counts.sums
    rounded = close = 0
    for row in range(odd.size):
        if odd[row]:
            continue
        for j in range(ulp.shape[1]):
            kind = classes[row, j]
            by_class[kind] += 1
            rounded += int(correct[row, j])
            close += int(faithful[row, j])
            if kind >= _GRADUAL:
                add_error(ulp[row, j], histogram, sums)
    counts.correct[0] += rounded
    counts.faithful[0] += close


@compiled
def _note_records(verdict: _Verdict, odd: Any, counts: _Counts) -> None:
    """Note the first plain rows that surpass the greatest figures so far."""
    ulp, row_sum_error = verdict.ulp, verdict.row_sum_error
    greatest, greatest_sum = counts.records[0], counts.records[1]
    worst, worst_sum, plain = -1, -1, 0
    for row in range(odd.size):
        if odd[row]:
            continue
        plain += 1
        if row_sum_error[row] > greatest_sum:
            greatest_sum, worst_sum = row_sum_error[row], row
        for j in range(ulp.shape[1]):
            if ulp[row, j] > greatest:
                greatest, worst = ulp[row, j], row
    counts.records[0], counts.records[1] = greatest, greatest_sum
    counts.record_rows[0], counts.record_rows[1] = worst, worst_sum
    counts.rows[0] += plain


def _plain_tally(counts: _Counts, n: int) -> Tally:
    """Return the tally of the plain rows, of n results each."""
    rows = int(counts.rows[0])
    if not rows:
        return Tally()
    harmless = int(counts.classes[_UNAVOIDABLE_ZERO] + counts.classes[_SPURIOUS_NONZERO])
    max_ulp, row_sum_error = counts.records.tolist()
    return Tally(
        rows=rows,
        completed=rows,
        elements=rows * n,
        positive=rows * n,
        representable=rows * n - harmless,
        correct=int(counts.correct[0]),
        faithful=int(counts.faithful[0]),
        ulp_count=rows * n - harmless,
        ulp_sum=exact_total(counts.sums),
        max_ulp=max_ulp,
        worst_row_sum_error=row_sum_error,
        row_kinds={"finite": rows},
        outcomes={"ok": rows},
        classes={
            kind.name.lower(): int(c) for kind, c in zip(ElementClass, counts.classes, strict=True) if c
        },
        histogram={int(number): int(counts.histogram[number]) for number in np.flatnonzero(counts.histogram)},
    )
