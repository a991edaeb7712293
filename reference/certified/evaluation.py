"""Truth and verdict in one pass over logits and outputs, for when the truth is not wanted for itself.

Rows go through both in groups that stay in cache, so the truth, two float64 an element, never
travels through memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.certified.compiled import compiled
from reference.certified.layout import Outputs
from reference.certified.parallel import deal_rows
from reference.certified.tiers import Plan, decide_rows, plan_for, truth_certified, validate
from reference.certified.verdict import (
    GROUP,
    Fields,
    fields_of_shape,
    judge_certified,
    judge_rows,
    part_of,
    slice_of,
)
from reference.certified.widening import Encoded, encoded, rows_of, widened
from reference.errors import Judgement
from reference.formats import FloatFormat

__all__ = ["evaluate"]


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
    if x.shape != y.shape:
        raise ValueError(f"y of shape {y.shape}: x has shape {x.shape}; they must match")
    validate(x)
    fields, plan, outputs = fields_of_shape(y.shape), plan_for(fmt, x.shape[1]), encoded(y, fmt)

    def work(rows: slice) -> int:
        logits, mine = np.require(x[rows], requirements=["C", "W"]), part_of(fields, rows)
        still_open = _evaluate_rows(logits, rows_of(outputs, rows), mine, plan)
        return _finish(logits, y[rows], mine, np.flatnonzero(still_open), fmt) if still_open.any() else 0

    fallbacks = sum(deal_rows(work, x.shape[0], x.shape[1], jobs))
    return Judgement(**fields._asdict()), fallbacks


@compiled
def _evaluate_rows(x: Any, y: Encoded, fields: Fields, plan: Plan) -> Any:
    """Fill the fields of all rows, and tell in which the truth is still open."""
    rows, n = x.shape
    step = max(1, GROUP // n)
    room, nearest, residual = np.empty((step, n)), np.empty((step, n)), np.empty((step, n))
    kinds, undecided = np.empty(step, np.uint8), np.empty(rows, np.int64)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        some = last - first
        truth = Outputs(nearest[:some], residual[:some], kinds[:some], undecided[first:last])
        decide_rows(x[first:last], truth, plan)
        values = widened(y, first, last, room)
        judge_rows(
            values, nearest[:some], residual[:some], slice_of(fields, first, last),
            plan.quick.precision, plan.quick.emin,
        )  # fmt: skip
    return undecided > 0


def _finish(
    x: NDArray[np.float64], y: NDArray[Any], fields: Fields, rows: NDArray[np.intp], fmt: FloatFormat
) -> int:
    """Evaluate the rows that mpmath has to decide."""
    truth = truth_certified(x[rows], fmt)
    judgement = judge_certified(y[rows], truth)
    for name, values in fields._asdict().items():
        values[rows] = getattr(judgement, name)
    return truth.fallbacks
