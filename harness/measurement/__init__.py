"""From rows and a candidate's outputs to a `Tally`: everything that is counted, once.

`measure` is a pure function of its arguments. It judges the outputs against the truth,
attributes failed rows, holds every element against the a-priori bounds, and keeps one
witness of each kind.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from harness.measurement.counts import element_counts, exact_sum, greatest, ratios, row_counts, ulp_figures
from harness.measurement.policy import OBSERVED, policy_counts, policy_fits, policy_rows
from harness.measurement.profiles import profiles
from harness.measurement.rows import Rows
from harness.measurement.witnesses import scores_by_row, witnesses
from reference.attribution import attribute
from reference.declaration import Declaration
from reports.tally import CellKey, Tally

__all__ = ["OBSERVED", "Rows", "exact_sum", "measure", "policy_fits", "scores_by_row"]


def measure(cell: CellKey, rows: Rows, y: NDArray[Any], declaration: Declaration) -> Tally:
    """Return the tally of a batch of outputs.

    Args:
        cell: the cell that the witnesses will name.
        rows: the batch, of shape (rows, n).
        y: the outputs in the truth's format, of the same shape.
        declaration: what the candidate says of itself.
    """
    judgement = rows.judge(y)
    outcomes = attribute(rows.values, y, rows.truth, judgement, declaration, rows.format)
    over_bounds = ratios(rows, judgement, declaration.algorithm)
    behaviour = policy_rows(rows, y, declaration.policy)
    return Tally(
        **row_counts(rows, judgement, outcomes),
        **element_counts(rows.truth, judgement),
        **ulp_figures(rows.truth, judgement),
        **policy_counts(behaviour),
        **profiles(rows, judgement, outcomes),
        max_bound_ratio=greatest(over_bounds["bound_ratio"]),
        max_algorithm_ratio=greatest(over_bounds["algorithm_ratio"]),
        worst_row_sum_error=greatest(judgement.row_sum_error),
        witnesses=tuple(witnesses(cell, rows, y, judgement, outcomes, over_bounds, behaviour)),
    )
