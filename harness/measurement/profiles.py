"""Where in the input errors and failures lie, in the bins of `reports.profiles`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.rows import Flags, Floats, Rows
from reference.attribution import RowOutcome
from reference.errors import ElementClass, Judgement
from reports.profiles import place_key
from reports.tally import HISTOGRAM_SHIFT

__all__ = ["profiles"]


def profiles(rows: Rows, judgement: Judgement, outcomes: NDArray[np.uint8]) -> dict[str, Any]:
    """Return greatest errors and bounds by gap, and counts and greatest errors by place."""
    judged = outcomes != RowOutcome.POLICY
    return {
        "gap_errors": _gap_peaks(rows, judgement.ulp),
        "gap_bounds": _gap_peaks(rows, rows.standard_bounds),
        "places": _place_counts(rows, judgement, outcomes, judged),
        "place_errors": _place_peaks(rows, judgement.ulp, judged),
    }


def _gap_peaks(rows: Rows, figure: Floats) -> dict[int, int]:
    return _peaks(rows.gap_bins.ravel(), figure.ravel(), (~np.isnan(figure) & rows.unmasked).ravel())


def _place_peaks(rows: Rows, ulp: Floats, judged: Flags) -> dict[int, int]:
    worst = np.fmax.reduce(ulp, axis=1)
    return _peaks(rows.places, worst, judged & ~np.isnan(worst))


def _peaks(bins: NDArray[np.int64], figure: Floats, chosen: Flags) -> dict[int, int]:
    """Return the histogram bin of the greatest figure in each bin; encodings order as their values do."""
    greatest = np.full(int(bins.max(initial=0)) + 1, -1)
    np.maximum.at(greatest, bins[chosen], figure[chosen].view(np.int64) >> HISTOGRAM_SHIFT)
    return {int(number): int(greatest[number]) for number in np.flatnonzero(greatest >= 0)}


def _place_counts(
    rows: Rows, judgement: Judgement, outcomes: NDArray[np.uint8], judged: Flags
) -> dict[int, int]:
    keys = np.concatenate(list(_place_keys(rows, judgement, outcomes, judged)))
    found, counts = np.unique(keys, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _place_keys(
    rows: Rows, judgement: Judgement, outcomes: NDArray[np.uint8], judged: Flags
) -> Iterator[NDArray[np.int64]]:
    yield place_key(rows.places[judged], "rows")
    for name in ("overflow", "total_underflow", "inaccurate", "unexplained"):
        yield place_key(rows.places[outcomes == RowOutcome[name.upper()]], name)
    zeros = np.isin(judgement.classes, [int(ElementClass.FLUSHED), int(ElementClass.LOST)]).any(axis=1)
    yield place_key(rows.places[judged & zeros], "underflow")
