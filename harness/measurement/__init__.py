"""From rows and a candidate's outputs to a `Tally`: everything that is counted, once.

`measure` is a pure function of its arguments. It judges the outputs against the truth,
attributes failed rows, holds every element against the a-priori bounds, and keeps one
witness of each kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.counts import element_counts, excused_rows, row_counts, ulp_figures
from harness.measurement.judged import Judged
from harness.measurement.policy import policy_counts
from harness.measurement.profiles import profiles
from harness.measurement.rows import Rows
from harness.measurement.witnesses import Recipe, scores_by_row, witnesses
from reference.declaration import Declaration
from reference.formats import FORMATS
from reference.tiers import STANDARD
from reports.record.tally import Tally
from reports.record.witness import CellKey
from strategies.regimes import REGIMES
from strategies.regimes.medley import MEDLEY

__all__ = ["Judged", "Recipe", "Rows", "measure", "scores_by_row", "tally_of", "warm"]


def measure(cell: CellKey, rows: Rows, y: NDArray[Any], declaration: Declaration) -> Tally:
    """Return the tally of a batch of outputs.

    Args:
        cell: the cell that the witnesses will name.
        rows: the batch, of shape (rows, n).
        y: the outputs in the truth's format, of the same shape.
        declaration: what the candidate says of itself.
    """
    return tally_of(cell, Judged(rows, y, declaration))


def tally_of(cell: CellKey, judged: Judged, *, sparing: bool = False, recipe: Recipe | None = None) -> Tally:
    """Return the tally of a judged batch, whose witnesses name that cell.

    Args:
        cell: the cell.
        judged: the batch.
        sparing: whether to leave out witnesses that a cell would not keep.
        recipe: makes recipes, which witnesses hold in place of bits.
    """
    return Tally(
        **row_counts(judged),
        **element_counts(judged.elements),
        **ulp_figures(judged.elements),
        **policy_counts(judged.behaviour),
        excused=excused_rows(judged),
        **(profiles(judged) if judged.profiled else {}),
        max_ulp=judged.greatest("max_ulp"),
        max_bound_ratio=judged.greatest("bound_ratio"),
        max_algorithm_ratio=judged.greatest("algorithm_ratio"),
        worst_row_sum_error=judged.greatest("row_sum"),
        witnesses=tuple(witnesses(cell, judged, sparing=sparing, recipe=recipe)),
    )


def warm() -> None:
    """Draw rows of every regime and measure some, so that every kernel is loaded or compiled.

    The sum of exponentials of the second row is next to the largest number of its format.
    """
    REGIMES[MEDLEY].rows(FORMATS["float16"], len(REGIMES), 4, seed=0, batch=0)
    fmt, cell = FORMATS["float32"], CellKey("", "softmax", "", "", "", 2)
    for value, declaration in (
        (0.0, Declaration(algorithm=STANDARD.algorithm_for(fmt))),
        (88.5, Declaration()),
    ):
        x = fmt.from_float64(np.full((1, 2), value))
        measure(cell, Rows.of(fmt, x, fmt), np.zeros_like(x), declaration)
