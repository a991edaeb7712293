"""Where in the input figures lie: the extents of rows, and greatest figures by the gap, compiled."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.measurement.kernels.greatest import rank_of
from reference.certified.compiled import compiled, pattern
from reference.certified.layout import key_of, value_of
from reports.record.bins import Bins
from reports.record.profiles import GAPS
from reports.record.tally import HISTOGRAM_SHIFT

__all__ = ["Extents", "extend_peaks", "extents", "gap_peaks", "new_peaks", "peaks_by_bin"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_MAGNITUDE: Final = (1 << 63) - 1
_KEY_INFINITY: Final = 0x7FF << 52
_KEY_MASKED: Final = -_KEY_INFINITY - 1
_CHUNK: Final = 1 << 10
"""Entries whose bins are found before they are used."""


class Extents(NamedTuple):
    """The largest entry of each row, and the smallest that is not -inf; of shape (rows,)."""

    largest: Floats
    smallest: Floats


def new_peaks() -> Counts:
    """Return a rank for each bin of the gap, below 0 as there is none, and a last one that means nothing."""
    return np.full(GAPS.count + 1, -1, dtype=np.int64)


def peaks_by_bin(peaks: Counts) -> Bins:
    """Return the histogram bin of the greatest figure by bins of the gap, of ranks as `new_peaks` gives."""
    reached = np.flatnonzero(peaks[:-1] >= 0)
    return Bins(reached, peaks[reached] >> HISTOGRAM_SHIFT)


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


def gap_peaks(values: Floats, largest: Floats, figure: Floats) -> Bins:
    """Return the histogram bin of the greatest figure in each bin of the gap largest - value.

    Masked entries and NaN are left out. Encodings order as their values do.

    Args:
        values: logits of shape (rows, n).
        largest: of each row, shape (rows,).
        figure: nonnegative, of shape (rows, n).
    """
    peaks = new_peaks()
    _gap_peaks(values, largest, figure, GAPS.shift, GAPS.offset, peaks)
    return peaks_by_bin(peaks)


@compiled
def _gap_peaks(values: Any, largest: Any, figure: Any, shift: int, offset: int, peaks: Any) -> None:
    n = values.shape[1]
    numbers = np.empty(_CHUNK, np.int64)
    for row in range(values.shape[0]):
        for a in range(0, n, _CHUNK):
            b = min(a + _CHUNK, n)
            extend_peaks(values[row, a:b], largest[row], figure[row, a:b], shift, offset, numbers, peaks)


@compiled
def extend_peaks(
    values: Any, largest: float, figure: Any, shift: int, offset: int, numbers: Any, peaks: Any
) -> None:
    """Keep the greatest figure in the bin of each value's gap; masked values go to the bin after them."""
    last = peaks.size - 2
    for j in range(values.size):
        number = ((pattern(largest - values[j]) & _MAGNITUDE) >> shift) - offset
        number = min(max(number, 0), last)
        numbers[j] = number if values[j] > -math.inf else last + 1
    for j in range(values.size):
        rank = rank_of(figure[j])
        if rank > peaks[numbers[j]]:
            peaks[numbers[j]] = rank
