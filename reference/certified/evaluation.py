"""Truth and verdict in one pass over logits and outputs, for when the truth is not wanted for itself.

Rows go through both in groups that stay in cache, so the truth, two float64 an element, never
travels through memory.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled
from reference.certified.layout import Outputs
from reference.certified.parallel import deal_rows
from reference.certified.tiers import Plan, decide_rows, last_resort, outputs_of_shape, plan_for
from reference.certified.verdict import Fields, fields_of_shape, judge_rows, part_of
from reference.errors import Judgement
from reference.formats import FloatFormat

__all__ = ["evaluate"]

_GROUP: Final = 1 << 13
"""Elements of a group: logits, outputs, truth and verdict of 2^13 elements fill half a MiB."""


def evaluate(
    x: NDArray[np.float64], y: NDArray[Any], fmt: FloatFormat, jobs: int = 1
) -> tuple[Judgement, int]:
    """Return the verdict on outputs y for logits x, both (rows, n), and how many elements mpmath decided.

    It is `judge_certified(y, truth_certified(x, fmt))`, in one pass.

    Args:
        x: logits in float64.
        y: outputs, in `fmt` or in float64 with the values of `fmt`.
        fmt: the output format.
        jobs: how many threads share the rows.

    Raises:
        ValueError: the shapes differ, the rows have no entries, or jobs < 1.
    """
    fields, plan = fields_of_shape(y.shape), plan_for(fmt, x.shape[1])

    def work(rows: slice) -> int:
        logits = np.require(x[rows], requirements=["C", "W"])
        outputs = np.require(fmt.to_float64(y[rows]), requirements=["C", "W"])
        mine = part_of(fields, rows)
        still_open = _evaluate_rows(logits, outputs, mine, plan)
        return _finish(logits, outputs, mine, np.flatnonzero(still_open), fmt) if still_open.any() else 0

    fallbacks = sum(deal_rows(work, x.shape[0], x.shape[1], jobs))
    return Judgement(**fields._asdict()), fallbacks


@compiled
def _evaluate_rows(x: Any, y: Any, fields: Fields, plan: Plan) -> Any:
    """Fill the fields of all rows, and tell in which the truth is still open."""
    rows, n = x.shape
    step = max(1, _GROUP // n)
    outputs = Outputs(
        np.empty((step, n)), np.empty((step, n)), np.empty(step, np.uint8), np.empty(step, np.int64)
    )
    still_open = np.zeros(rows, dtype=np.bool_)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        group = Outputs(
            outputs.nearest[: last - first], outputs.residual[: last - first],
            outputs.kinds[: last - first], outputs.undecided[: last - first],
        )  # fmt: skip
        decide_rows(x[first:last], group, plan)
        some = Fields(
            fields.ulp[first:last], fields.classes[first:last], fields.correct[first:last],
            fields.faithful[first:last], fields.negative_zero[first:last], fields.row_sum[first:last],
            fields.nearest_sum[first:last], fields.row_sum_error[first:last], fields.failure[first:last],
        )  # fmt: skip
        judge_rows(y[first:last], group.nearest, group.residual, some, plan.quick.precision, plan.quick.emin)
        still_open[first:last] = group.undecided > 0
    return still_open


def _finish(
    x: NDArray[np.float64], y: NDArray[np.float64], fields: Fields, rows: NDArray[np.intp], fmt: FloatFormat
) -> int:
    """Evaluate the rows that mpmath has to decide."""
    outputs, some = outputs_of_shape((rows.size, x.shape[1])), fields_of_shape((rows.size, x.shape[1]))
    decide_rows(x[rows], outputs, plan_for(fmt, x.shape[1]))
    fallbacks = last_resort(x[rows], outputs, fmt)
    judge_rows(y[rows], outputs.nearest, outputs.residual, some, fmt.precision, fmt.emin)
    for name, values in some._asdict().items():
        getattr(fields, name)[rows] = values
    return fallbacks
