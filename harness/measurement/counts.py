"""What is counted of a judged batch: rows, elements, ULP figures, and ratios to the a-priori bounds."""

from __future__ import annotations

from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.rows import Flags, Floats, Rows
from reference.attribution import RowOutcome
from reference.bounds import element_bounds
from reference.declaration import Algorithm
from reference.errors import ElementClass, Judgement, RowFailure
from reference.rows import RowKind
from reference.truth import Truth
from reports.tally import HISTOGRAM_SHIFT

__all__ = ["element_counts", "exact_sum", "greatest", "ratios", "row_counts", "ulp_figures"]


def row_counts(rows: Rows, judgement: Judgement, outcomes: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the counts of rows by outcome and failure; `outcomes` as `attribute` returns them."""
    failure = judgement.failure
    spurious = _is_class(judgement, ElementClass.FLUSHED, ElementClass.LOST)
    nonfinite = _is_class(judgement, ElementClass.NONFINITE)
    return {
        "rows": len(failure),
        "completed": len(failure),
        "row_kinds": _named_counts(rows.truth.kinds, RowKind),
        "outcomes": _named_counts(outcomes, RowOutcome),
        "nonfinite_rows": int(nonfinite.any(axis=1).sum()),
        "spurious_rows": int(spurious.any(axis=1).sum()),
        "collapsed_rows": int((failure == RowFailure.COLLAPSED).sum()),
        "inflated_rows": int((failure == RowFailure.INFLATED).sum()),
    }


def element_counts(truth: Truth, judgement: Judgement) -> dict[str, Any]:
    """Return the counts of judged elements by class and by how they were rounded."""
    classes = _named_counts(judgement.classes.ravel(), ElementClass)
    judged = judgement.classes != ElementClass.POLICY
    positive = judged & ((truth.nearest != 0) | (truth.residual != 0))  # masked entries are in no rate
    return {
        "elements": int(judged.sum()),
        "positive": int(positive.sum()),
        "representable": int((judged & (truth.nearest != 0)).sum()),
        "correct": int((judgement.correct & positive).sum()),
        "faithful": int((judgement.faithful & positive).sum()),
        "negative_zeros": int(judgement.negative_zero[judged].sum()),
        "classes": classes,
    }


def ulp_figures(truth: Truth, judgement: Judgement) -> dict[str, Any]:
    """Return what is known of the ULP errors of elements with RN(r) not 0."""
    counted = (judgement.classes != ElementClass.POLICY) & (truth.nearest != 0)
    ulp = judgement.ulp[counted]
    finite = ulp[np.isfinite(ulp)]
    infinite = int(np.isinf(ulp).sum())
    return {
        "ulp_count": finite.size,
        "ulp_infinite": infinite,
        "nonfinite_representable": ulp.size - finite.size - infinite,
        "ulp_sum": exact_sum(finite),
        "histogram": _histogram(ulp[~np.isnan(ulp)]),
        "max_ulp": greatest(judgement.ulp),
    }


def exact_sum(values: Floats) -> Fraction:
    """Return the exact sum of nonnegative finite float64 values, at most 2^26 of them.

    Each value is m 2^e with m below 2^53; both 27-bit halves of m are added up for each e
    in float64, where sums of 2^26 such halves are still exact.
    """
    if values.size > 2**26:
        raise ValueError(f"exact_sum of {values.size} values: at most 2^26 at once")
    if values.size == 0:
        return Fraction(0)
    fraction, exponent = np.frexp(values)
    significand = np.ldexp(fraction, 53).astype(np.int64)
    lowest = int(exponent.min())
    bins = exponent - lowest
    high = np.bincount(bins, weights=(significand >> 27).astype(np.float64))
    low = np.bincount(bins, weights=(significand & (2**27 - 1)).astype(np.float64))
    total = sum(((int(h) << 27) + int(w)) << k for k, (h, w) in enumerate(zip(high, low, strict=True)))
    return total * Fraction(2) ** (lowest - 53)


def _histogram(ulp: Floats) -> dict[int, int]:
    keys, counts = np.unique(ulp.view(np.int64) >> HISTOGRAM_SHIFT, return_counts=True)
    return {int(key): int(count) for key, count in zip(keys, counts, strict=True)}


def _named_counts(codes: NDArray[np.uint8], names: type[IntEnum]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(names))
    return {name.name.lower(): int(counts[name]) for name in names if counts[name]}


def _is_class(judgement: Judgement, *classes: ElementClass) -> Flags:
    return np.isin(judgement.classes, [int(c) for c in classes])


def greatest(values: Floats | None) -> float | None:
    """Return the greatest value, NaN left out; None where there is none."""
    if values is None or values.size == 0:
        return None
    found = float(np.fmax.reduce(values, axis=None))
    return None if np.isnan(found) else found


def ratios(rows: Rows, judgement: Judgement, algorithm: Algorithm | None) -> dict[str, Floats | None]:
    """Return the ULP errors over the a-priori bounds; None where no algorithm is declared."""

    def ratio(bounds: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(judgement.ulp / bounds)

    found: dict[str, Floats | None] = {
        "bound_ratio": ratio(rows.standard_bounds),
        "algorithm_ratio": None,
    }
    if algorithm is not None:
        own = element_bounds(rows.values, rows.truth, algorithm, rows.format)
        found["algorithm_ratio"] = ratio(own)
    return found
