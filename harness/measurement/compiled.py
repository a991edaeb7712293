"""What is counted of a judged batch, compiled: each loop goes once over the elements.

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

from reference.certified.compiled import compiled, float_of, inlined, pattern
from reference.certified.layout import key_of, value_of
from reference.errors import ElementClass
from reference.model import Truth
from reports.record.profiles import GAPS
from reports.record.tally import HISTOGRAM_SHIFT

__all__ = [
    "BINS",
    "EXPONENTS",
    "Elements",
    "Extents",
    "add_error",
    "count_elements",
    "exact_total",
    "extents",
    "first_greatest",
    "gap_peaks",
    "greatest_of_rows",
]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BINS: Final = (0x7FF << 52 >> HISTOGRAM_SHIFT) + 1
"""Histogram bins of all nonnegative float64 numbers and +inf."""

EXPONENTS: Final = 0x800
"""Biased exponents of float64."""

_FRACTION: Final = (1 << 52) - 1
_HIDDEN: Final = 1 << 52
_HALF: Final = 27
_LOW: Final = (1 << _HALF) - 1
_INFINITY: Final = 0x7FF << 52
_KEY_INFINITY: Final = _INFINITY
_KEY_MASKED: Final = -_INFINITY - 1
_POLICY: Final = np.uint8(ElementClass.POLICY)


class _Scalars(NamedTuple):
    """Where a scalar count lies in the array that the kernel fills."""

    positive: int = 0
    representable: int = 1
    correct: int = 2
    faithful: int = 3
    negative_zeros: int = 4
    finite: int = 5
    infinite: int = 6
    nonfinite: int = 7
    lowest: int = 8
    highest: int = 9


_AT: Final = _Scalars()


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
    histogram: dict[int, int]
    total: Fraction


class Extents(NamedTuple):
    """The largest entry of each row, and the smallest that is not -inf; of shape (rows,)."""

    largest: Floats
    smallest: Floats


class _Tables(threading.local):
    """Scratch of each thread, all 0 between calls: too large to be cleared for every batch."""

    def __init__(self) -> None:
        self.histogram = np.zeros(BINS, dtype=np.int64)


_TABLES: Final = _Tables()


def count_elements(judgement: Any, truth: Truth) -> Elements:
    """Count the elements of a `Judgement` of at most 2^36 elements."""
    table = _TABLES.histogram
    classes = np.zeros(len(ElementClass), dtype=np.int64)
    scalars = np.zeros(len(_AT), dtype=np.int64)
    sums = np.zeros((EXPONENTS, 2), dtype=np.int64)
    _count(
        judgement.ulp.ravel(), judgement.classes.ravel(), judgement.correct.ravel(),
        judgement.faithful.ravel(), judgement.negative_zero.ravel(), truth.nearest.ravel(),
        truth.residual.ravel(), classes, scalars, table, sums,
    )  # fmt: skip
    counts = _Scalars._make(scalars.tolist())
    histogram = _harvest(table, counts.lowest, counts.highest)
    if counts.infinite:
        histogram[_INFINITY >> HISTOGRAM_SHIFT] = counts.infinite
    named = {name: count for name, count in counts._asdict().items() if name in Elements._fields}
    return Elements(classes=classes, histogram=histogram, total=exact_total(sums), **named)


def _harvest(table: Counts, lowest: int, highest: int) -> dict[int, int]:
    """Take the counts of bins lowest..highest out of a table, and that of bin 0."""
    found = {0: int(table[0])} if table[0] else {}
    table[0] = 0
    part = table[lowest : highest + 1]
    places = np.flatnonzero(part)
    found.update(zip((places + lowest).tolist(), part[places].tolist(), strict=True))
    part[:] = 0
    return found


@inlined
def add_error(ulp: float, histogram: Any, sums: Any) -> int:
    """Count a finite ULP error in its bin, add it to the exact sums, and return its bin.

    The sums are of significands by biased exponent, in halves of 26 and 27 bits: 2^36 of them do
    not overflow.
    """
    bits: int = pattern(ulp)
    exponent = bits >> 52
    significand = (bits & _FRACTION) | (_HIDDEN if exponent else 0)
    number = bits >> HISTOGRAM_SHIFT
    histogram[number] += 1
    sums[exponent, 0] += significand >> _HALF
    sums[exponent, 1] += significand & _LOW
    return number


def exact_total(sums: Counts) -> Fraction:
    """Return the sum of the floats that `add_error` added up."""
    exponents = np.flatnonzero(sums.any(axis=1)).tolist()
    least = max(exponents[0], 1) if exponents else 0
    units = sum(
        ((high << _HALF) + low) << (max(exponent, 1) - least)
        for exponent, (high, low) in zip(exponents, sums[exponents].tolist(), strict=True)
    )
    return Fraction(units) * Fraction(2) ** (least - 1075)


@compiled
def _count(
    ulp: Any, classes: Any, correct: Any, faithful: Any, negative_zero: Any, nearest: Any, residual: Any,
    by_class: Any, scalars: Any, histogram: Any, sums: Any,
) -> None:  # fmt: skip
    positives = representables = rounded = close = negatives = finite = infinite = 0
    lowest, highest = BINS, 0
    for i in range(ulp.size):
        kind = classes[i]
        by_class[kind] += 1
        judged = kind != _POLICY
        at_zero = nearest[i] == 0.0
        positive = judged & ((not at_zero) | (residual[i] != 0.0))
        positives += int(positive)
        rounded += int(correct[i] & positive)
        close += int(faithful[i] & positive)
        negatives += int(negative_zero[i] & judged)
        if judged & (not at_zero):
            representables += 1
            if ulp[i] < math.inf:
                finite += 1
                number = add_error(ulp[i], histogram, sums)
                lowest = min(lowest, number or BINS)
                highest = max(highest, number)
            else:
                infinite += int(ulp[i] == math.inf)
    scalars[_AT.positive], scalars[_AT.representable] = positives, representables
    scalars[_AT.correct], scalars[_AT.faithful] = rounded, close
    scalars[_AT.negative_zeros] = negatives
    scalars[_AT.finite], scalars[_AT.infinite] = finite, infinite
    scalars[_AT.nonfinite] = representables - finite - infinite
    scalars[_AT.lowest], scalars[_AT.highest] = lowest, highest


# Greatest figures ------------------------------------------------------------------------


def first_greatest(figure: Floats, divisor: Floats | None = None) -> tuple[float, int, int] | None:
    """Return the greatest nonnegative figure, or figure / divisor, with its row and element.

    NaN is left out, and the first of equals is found; None where there is none.

    Args:
        figure: of shape (rows, n).
        divisor: likewise, or None.
    """
    flat = np.ravel(figure)
    value, place = _first_greatest(flat) if divisor is None else _first_ratio(flat, np.ravel(divisor))
    return None if place < 0 else (float(value), *divmod(int(place), figure.shape[1]))


@inlined
def _rank(figure: float) -> int:
    """Return the encoding of a nonnegative figure, which orders as it does; below 0 for NaN."""
    bits: int = pattern(figure)
    return bits if bits <= _INFINITY else -1


@compiled
def _first_greatest(figure: Any) -> tuple[float, int]:
    greatest = -1
    for i in range(figure.size):
        greatest = max(greatest, _rank(figure[i]))
    for i in range(figure.size):
        if (_rank(figure[i]) == greatest) & (greatest >= 0):
            return figure[i], i
    return math.nan, -1


@compiled
def _first_ratio(figure: Any, divisor: Any) -> tuple[float, int]:
    greatest = -1
    for i in range(figure.size):
        greatest = max(greatest, _rank(figure[i] / divisor[i]))
    for i in range(figure.size):
        if (_rank(figure[i] / divisor[i]) == greatest) & (greatest >= 0):
            return figure[i] / divisor[i], i
    return math.nan, -1


def greatest_of_rows(figure: Floats) -> Floats:
    """Return the greatest nonnegative figure of each row of (rows, n), NaN where it has none but NaN."""
    greatest = np.empty(len(figure))
    _greatest_of_rows(figure, greatest)
    return greatest


@compiled
def _greatest_of_rows(figure: Any, greatest: Any) -> None:
    for row in range(figure.shape[0]):
        found = -1
        for j in range(figure.shape[1]):
            found = max(found, _rank(figure[row, j]))
        greatest[row] = float_of(found) if found >= 0 else np.nan


# Places and gaps -------------------------------------------------------------------------


def extents(values: Floats) -> Extents:
    """Return the extents of rows; those of rows with a NaN mean nothing."""
    found = Extents(np.empty(len(values)), np.empty(len(values)))
    _extents(values, found.largest, found.smallest)
    return found


@compiled
def _extents(values: Any, largest: Any, smallest: Any) -> None:
    for row in range(values.shape[0]):
        high, low = _KEY_MASKED, _KEY_INFINITY
        for j in range(values.shape[1]):
            key = key_of(values[row, j])
            high = max(high, key)
            low = min(low, key if key > _KEY_MASKED else _KEY_INFINITY)
        largest[row], smallest[row] = value_of(high), value_of(low)


def gap_peaks(values: Floats, largest: Floats, figure: Floats) -> dict[int, int]:
    """Return the histogram bin of the greatest figure in each bin of the gap largest - value.

    Masked entries and NaN are left out. Encodings order as their values do.

    Args:
        values: logits of shape (rows, n).
        largest: of each row, shape (rows,).
        figure: nonnegative, of shape (rows, n).
    """
    peaks = np.full(GAPS.count, -1, dtype=np.int64)
    _gap_peaks(values, largest, figure, GAPS.shift, GAPS.offset, peaks)
    return {number: peak >> HISTOGRAM_SHIFT for number, peak in enumerate(peaks.tolist()) if peak >= 0}


@compiled
def _gap_peaks(values: Any, largest: Any, figure: Any, shift: int, offset: int, peaks: Any) -> None:
    last = peaks.size - 1
    for row in range(values.shape[0]):
        for j in range(values.shape[1]):
            if (values[row, j] > -math.inf) & (figure[row, j] >= 0.0):
                number = (pattern(largest[row] - values[row, j]) >> shift) - offset
                number = min(max(number, 0), last)
                peaks[number] = max(peaks[number], pattern(figure[row, j]))
