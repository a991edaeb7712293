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
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Rows, measure
from reference.certified.compiled import compiled, pattern
from reference.certified.evaluation import evaluate
from reference.declaration import Declaration
from reference.errors import ElementClass, Judgement, RowFailure
from reference.formats import FloatFormat
from reference.truth import truth
from reports.tally import HISTOGRAM_SHIFT, CellKey, Tally, Witness, merge

__all__ = ["count_rows", "without_profiles"]

_FRACTION: Final = (1 << 52) - 1
_HIDDEN: Final = 1 << 52
_HALF: Final = 27
_LOW: Final = (1 << _HALF) - 1
_EXPONENTS: Final = 0x800
_BINS: Final = (0x7FF << 52 >> HISTOGRAM_SHIFT) + 1

_UNAVOIDABLE_ZERO: Final = np.uint8(ElementClass.UNAVOIDABLE_ZERO)
_SPURIOUS_NONZERO: Final = np.uint8(ElementClass.SPURIOUS_NONZERO)
_GRADUAL: Final = np.uint8(ElementClass.GRADUAL)
_NORMAL: Final = np.uint8(ElementClass.NORMAL)
_NO_FAILURE: Final = np.uint8(RowFailure.NONE)


def count_rows(
    cell: CellKey,
    fmt: FloatFormat,
    x: NDArray[Any],
    y: NDArray[Any],
    declaration: Declaration,
    out_format: FloatFormat,
    first: int,
) -> Tally:
    """Return the tally of outputs of finite rows, without ratios and profiles.

    Args:
        cell: the cell that the witnesses will name.
        fmt: the input format.
        x: the rows in it, shape (rows, n), all finite.
        y: the outputs in the output format.
        declaration: what the candidate says of itself.
        out_format: the output format.
        first: the number of the first row, by which witnesses are named.
    """
    values, outputs = fmt.to_float64(x), out_format.to_float64(y)
    rest = np.flatnonzero(~_settled(values, outputs, _reach(out_format, x.shape[1])))
    settled = _settled_tally(len(x) - rest.size, x.shape[1])
    if not rest.size:
        return settled
    judgement, fallbacks = evaluate(values[rest], outputs[rest], out_format)
    odd = _odd_rows(judgement.ulp, judgement.classes, judgement.negative_zero, judgement.failure)
    part = _Part(cell, fmt, x, y, declaration, out_format, first)
    plain = replace(_plain_tally(judgement, odd), fallbacks=fallbacks)
    worst = (part.witnesses(int(rest[row]), kind) for row, kind in _worst_rows(judgement, odd))
    found = tuple(witness for witnesses in worst for witness in witnesses)
    return merge([settled, replace(plain, witnesses=found), *part.measured(rest[odd])])


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


def _reach(fmt: FloatFormat, n: int) -> float:
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


def _settled_tally(rows: int, n: int) -> Tally:
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


@compiled
def _odd_rows(ulp: Any, classes: Any, negative_zero: Any, failure: Any) -> Any:
    """Tell which rows hold anything but harmless elements of finite error."""
    odd = np.empty(len(failure), dtype=np.bool_)
    for row in range(len(failure)):
        found = failure[row] != _NO_FAILURE
        for j in range(classes.shape[1]):
            found |= (classes[row, j] < _UNAVOIDABLE_ZERO) | (classes[row, j] > _NORMAL)
            found |= negative_zero[row, j] | (ulp[row, j] == np.inf)
        odd[row] = found
    return odd


class _Counts(NamedTuple):
    """What the kernel fills.

    Attributes:
        classes: how many elements of each class.
        correct, faithful: how many, as arrays of one entry.
        histogram: ULP errors by bin, where RN(r) is not 0.
        sums: significands of those errors by exponent, in two halves.
    """

    classes: NDArray[np.int64]
    correct: NDArray[np.int64]
    faithful: NDArray[np.int64]
    histogram: NDArray[np.int64]
    sums: NDArray[np.int64]


def _plain_tally(judgement: Judgement, odd: NDArray[np.bool_]) -> Tally:
    rows = int(odd.size - odd.sum())
    if not rows:
        return Tally()
    counts = _no_counts()
    _count(judgement.ulp, judgement.classes, judgement.correct, judgement.faithful, odd, counts)
    elements = rows * judgement.ulp.shape[1]
    harmless = int(counts.classes[_UNAVOIDABLE_ZERO] + counts.classes[_SPURIOUS_NONZERO])
    plain = ~odd
    return Tally(
        rows=rows,
        completed=rows,
        elements=elements,
        positive=elements,
        representable=elements - harmless,
        correct=int(counts.correct[0]),
        faithful=int(counts.faithful[0]),
        ulp_count=elements - harmless,
        ulp_sum=_exact_sum(counts.sums),
        max_ulp=float(judgement.ulp[plain].max()),
        worst_row_sum_error=float(judgement.row_sum_error[plain].max()),
        row_kinds={"finite": rows},
        outcomes={"ok": rows},
        classes={
            kind.name.lower(): int(n) for kind, n in zip(ElementClass, counts.classes, strict=True) if n
        },
        histogram={int(number): int(counts.histogram[number]) for number in np.flatnonzero(counts.histogram)},
    )


def _no_counts() -> _Counts:
    classes, correct, faithful, histogram = (
        np.zeros(size, dtype=np.int64) for size in (len(ElementClass), 1, 1, _BINS)
    )
    return _Counts(classes, correct, faithful, histogram, np.zeros((_EXPONENTS, 2), dtype=np.int64))


@compiled
def _count(ulp: Any, classes: Any, correct: Any, faithful: Any, odd: Any, counts: _Counts) -> None:
    for row in range(len(odd)):
        if odd[row]:
            continue
        for j in range(ulp.shape[1]):
            kind = classes[row, j]
            counts.classes[kind] += 1
            counts.correct[0] += correct[row, j]
            counts.faithful[0] += faithful[row, j]
            if kind >= _GRADUAL:
                bits = pattern(ulp[row, j])
                exponent = bits >> 52
                significand = (bits & _FRACTION) | (_HIDDEN if exponent else 0)
                counts.histogram[bits >> HISTOGRAM_SHIFT] += 1
                counts.sums[exponent, 0] += significand >> _HALF
                counts.sums[exponent, 1] += significand & _LOW


def _exact_sum(sums: NDArray[np.int64]) -> Fraction:
    """Return the sum of floats whose significands were added up by biased exponent."""
    total = Fraction(0)
    for exponent in np.flatnonzero(sums.any(axis=1)).tolist():
        high, low = (int(part) for part in sums[exponent])
        total += ((high << _HALF) + low) * Fraction(2) ** (max(exponent, 1) - 1075)
    return total


def _worst_rows(judgement: Judgement, odd: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
    """Yield the first plain row of the greatest ULP error, and that of the greatest row sum error."""
    for figure, kind in ((judgement.ulp.max(axis=1), "max_ulp"), (judgement.row_sum_error, "row_sum")):
        plain = np.where(odd, -1.0, figure)
        row = int(np.argmax(plain))
        if plain[row] > 0:
            yield row, kind


# Single rows -----------------------------------------------------------------------------


class _Part(NamedTuple):
    """The rows of one call, from which some are taken to be measured in full."""

    cell: CellKey
    fmt: FloatFormat
    x: NDArray[Any]
    y: NDArray[Any]
    declaration: Declaration
    out_format: FloatFormat
    first: int

    def measured(self, chosen: NDArray[np.intp]) -> Iterator[Tally]:
        """Yield the tally of some rows; nothing for none."""
        if chosen.size:
            values = self.fmt.to_float64(self.x[chosen])
            labels = tuple(f"row {self.first + row}" for row in chosen.tolist())
            rows = Rows(self.fmt, self.x[chosen], values, truth(values, self.out_format), 0, labels)
            yield without_profiles(measure(self.cell, rows, self.y[chosen], self.declaration))

    def witnesses(self, row: int, kind: str) -> Iterator[Witness]:
        """Yield the witness of a kind that one row is."""
        for tally in self.measured(np.array([row])):
            yield from (witness for witness in tally.witnesses if witness.kind == kind)
