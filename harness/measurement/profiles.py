"""Where in the input errors and failures lie, in the bins of `reports.record.profiles`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.judged import Judged
from harness.measurement.rows import Flags
from reference.attribution import RowOutcome
from reference.errors import ElementClass
from reports.record.bins import Bins, distinct
from reports.record.profiles import PLACE_COUNTS, place_key
from reports.record.tally import HISTOGRAM_SHIFT

__all__ = ["profiles"]

Places = NDArray[np.int64]
"""The numbers of the places that a batch has rows in, ascending."""

Indices = NDArray[np.intp]
"""Of each row, the index of its place among them."""


def profiles(judged: Judged) -> dict[str, Any]:
    """Return greatest errors and bounds by gap, and counts and greatest errors by place."""
    rows = judged.rows
    places, group = distinct(rows.places)
    counted = judged.outcomes != RowOutcome.POLICY
    return {
        "gap_errors": judged.figures.gap_errors,
        "gap_bounds": rows.gap_bounds,
        "places": _place_counts(judged, counted, places, group),
        "place_errors": _place_peaks(judged, counted, places, group),
    }


def _place_peaks(judged: Judged, counted: Flags, places: Places, group: Indices) -> Bins:
    """Return the histogram bin of the greatest error in each place; encodings order as their values do."""
    worst = judged.figures.greatest_of_rows
    chosen = counted & ~np.isnan(worst)
    peaks = np.full(places.size, -1)
    np.maximum.at(peaks, group[chosen], worst[chosen].view(np.int64) >> HISTOGRAM_SHIFT)
    return Bins(places[peaks >= 0], peaks[peaks >= 0])


def _place_counts(judged: Judged, counted: Flags, places: Places, group: Indices) -> Bins:
    """Return the rows of each of `PLACE_COUNTS` in each place."""
    size = len(RowOutcome)
    outcomes = np.bincount(group * size + judged.outcomes, minlength=size * places.size).reshape(-1, size)
    zeros = counted & judged.rows_with(ElementClass.FLUSHED, ElementClass.LOST)
    of_kind = {
        "rows": outcomes.sum(axis=1) - outcomes[:, RowOutcome.POLICY],
        **{outcome.name.lower(): outcomes[:, outcome] for outcome in RowOutcome},
        "underflow": np.bincount(group[zeros], minlength=places.size),
    }
    keys = np.stack([place_key(places, kind) for kind in PLACE_COUNTS], axis=1)
    counts = np.stack([of_kind[kind] for kind in PLACE_COUNTS], axis=1)
    return Bins(keys[counts > 0], counts[counts > 0])
