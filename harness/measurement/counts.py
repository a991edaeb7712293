"""What is counted of a judged batch: rows, elements, and ULP figures, as fields of a `Tally`."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.judged import Judged
from harness.measurement.kernels.counting import Elements
from reference.attribution import RowOutcome
from reference.errors import ElementClass, RowFailure
from reference.row_kinds import RowKind

__all__ = ["element_counts", "excused_rows", "row_counts", "ulp_figures"]


def row_counts(judged: Judged) -> dict[str, Any]:
    """Return the counts of rows by outcome and failure."""
    failure = judged.failure
    return {
        "rows": len(failure),
        "completed": len(failure),
        "row_kinds": _named_counts(judged.rows.truth.kinds, RowKind),
        "outcomes": _named_counts(judged.outcomes, RowOutcome),
        "nonfinite_rows": int(judged.rows_with(ElementClass.NONFINITE).sum()),
        "spurious_rows": int(judged.rows_with(ElementClass.FLUSHED, ElementClass.LOST).sum()),
        "collapsed_rows": int((failure == RowFailure.COLLAPSED).sum()),
        "inflated_rows": int((failure == RowFailure.INFLATED).sum()),
    }


def excused_rows(judged: Judged) -> dict[str, int]:
    """Return how many rows the policy excuses, by `unexplained` and by the setting that accepts them."""
    unexplained = (judged.outcomes == RowOutcome.UNEXPLAINED) & judged.collapsed_by_flushes
    counts = {"unexplained": int(unexplained.sum())}
    counts |= {f"{done.key}={done.declared}": done.accepted() for done in judged.behaviour}
    return {name: count for name, count in counts.items() if count}


def element_counts(elements: Elements) -> dict[str, Any]:
    """Return the counts of judged elements by class and by how they were rounded."""
    return {
        "elements": int(elements.classes.sum() - elements.classes[ElementClass.POLICY]),
        "positive": elements.positive,
        "representable": elements.representable,
        "correct": elements.correct,
        "faithful": elements.faithful,
        "negative_zeros": elements.negative_zeros,
        "classes": {
            kind.name.lower(): int(elements.classes[kind]) for kind in ElementClass if elements.classes[kind]
        },
    }


def ulp_figures(elements: Elements) -> dict[str, Any]:
    """Return what is known of the ULP errors of elements with RN(r) not 0."""
    return {
        "ulp_count": elements.finite,
        "ulp_infinite": elements.infinite,
        "nonfinite_representable": elements.nonfinite,
        "ulp_sum": elements.total,
        "histogram": elements.histogram,
    }


def _named_counts(codes: NDArray[np.uint8], names: type[IntEnum]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(names))
    return {name.name.lower(): int(counts[name]) for name in names if counts[name]}
