"""Where in the input errors and failures lie, in the bins of `reports.record.profiles`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.judged import Judged
from harness.measurement.rows import Flags
from reference.attribution import RowOutcome
from reference.errors import ElementClass
from reports.record.bins import Bins
from reports.record.profiles import place_key
from reports.record.tally import HISTOGRAM_SHIFT

__all__ = ["profiles"]


def profiles(judged: Judged) -> dict[str, Any]:
    """Return greatest errors and bounds by gap, and counts and greatest errors by place."""
    rows = judged.rows
    counted = judged.outcomes != RowOutcome.POLICY
    return {
        "gap_errors": judged.figures.gap_errors,
        "gap_bounds": rows.gap_bounds,
        "places": _place_counts(judged, counted),
        "place_errors": _place_peaks(judged, counted),
    }


def _place_peaks(judged: Judged, counted: Flags) -> Bins:
    """Return the histogram bin of the greatest error in each place; encodings order as their values do."""
    worst, places = judged.figures.greatest_of_rows, judged.rows.places
    chosen = counted & ~np.isnan(worst)
    found, group = np.unique(places[chosen], return_inverse=True)
    greatest = np.full(found.size, -1)
    np.maximum.at(greatest, group, worst[chosen].view(np.int64) >> HISTOGRAM_SHIFT)
    return Bins(found, greatest)


def _place_counts(judged: Judged, counted: Flags) -> Bins:
    keys = np.concatenate(list(_place_keys(judged, counted)))
    found, counts = np.unique(keys, return_counts=True)
    return Bins(found, counts)


def _place_keys(judged: Judged, counted: Flags) -> Iterator[NDArray[np.int64]]:
    places, outcomes = judged.rows.places, judged.outcomes
    yield place_key(places[counted], "rows")
    for name in ("overflow", "total_underflow", "inaccurate", "unexplained"):
        yield place_key(places[outcomes == RowOutcome[name.upper()]], name)
    zeros = judged.rows_with(ElementClass.FLUSHED, ElementClass.LOST)
    yield place_key(places[counted & zeros], "underflow")
