"""Which rows of a batch are kept as witnesses, and how much each row shows of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.counts import greatest, ratios
from harness.measurement.policy import Behaviour, policy_rows
from harness.measurement.rows import Flags, Floats, Rows, hexadecimal
from harness.measurement.tiers import TIER_KINDS, tier_judgement
from reference.attribution import RowOutcome, attribute
from reference.declaration import Declaration
from reference.errors import ElementClass, Judgement
from reports.tally import CellKey, Witness

__all__ = ["scores_by_row", "witnesses"]

_CLASS_WITNESSES: Mapping[str, ElementClass] = {
    "mask_leak": ElementClass.MASK_LEAK,
    "nonfinite": ElementClass.NONFINITE,
    "lost": ElementClass.LOST,
    "flushed": ElementClass.FLUSHED,
    "out_of_range": ElementClass.OUT_OF_RANGE,
}
_OUTCOME_WITNESSES: Mapping[str, RowOutcome] = {
    "unexplained": RowOutcome.UNEXPLAINED,
    "overflow": RowOutcome.OVERFLOW,
    "total_underflow": RowOutcome.TOTAL_UNDERFLOW,
    "inaccurate": RowOutcome.INACCURATE,
}


def witnesses(
    cell: CellKey,
    rows: Rows,
    y: NDArray[Any],
    judgement: Judgement,
    outcomes: NDArray[np.uint8],
    over_bounds: Mapping[str, Floats | None],
    behaviour: tuple[Behaviour, ...],
) -> Iterator[Witness]:
    """Yield the first row of each defect, and the worst row of each figure."""
    out = rows.truth.format

    def witness(kind: str, score: float, row: int, element: int | None, message: str = "") -> Witness:
        bits = hexadecimal(out, y[row])
        return Witness(cell, kind, score, rows.hexadecimal(row), bits, element, rows.origin(row), message)

    for kind, outcome in _OUTCOME_WITNESSES.items():
        for row in np.flatnonzero(outcomes == outcome)[:1]:
            yield witness(kind, 0.0, int(row), None)
    flags = {kind: judgement.classes == wanted for kind, wanted in _CLASS_WITNESSES.items()}
    judged = judgement.classes != ElementClass.POLICY
    for kind, where in {**flags, "negative_zero": judgement.negative_zero & judged}.items():
        for row in np.flatnonzero(where.any(axis=1))[:1]:
            yield witness(kind, 0.0, int(row), int(np.argmax(where[row])))
    figures = {"max_ulp": judgement.ulp, **over_bounds, "row_sum": judgement.row_sum_error[:, None]}
    for kind, figure in figures.items():
        for score, row, element in _worst(figure):
            yield witness(kind, score, row, None if kind == "row_sum" else element)
    for done in behaviour:
        for place in done.violations()[:1]:
            message = f"{done.key}={done.observed()[place]}, declared {done.declared}"
            yield witness("policy", 0.0, int(done.rows[place]), None, message)


def scores_by_row(kind: str, rows: Rows, y: NDArray[Any], declaration: Declaration) -> Floats:
    """Return how much each row shows of a kind of witness, shape (rows,); 0 where it shows nothing of it.

    Where the kind is a figure it is the greatest of the row; else 1 where the row shows it. The row of the
    greatest score is one that `measure` would keep as the witness of that kind.

    Raises:
        ValueError: outputs do not show that kind: it is a fault.
    """
    if kind in TIER_KINDS:
        scores = tier_judgement(TIER_KINDS[kind], rows, y, declaration).scores
        return np.asarray(scores.max(axis=1))
    judgement = rows.judge(y)
    figure: Floats | Flags | None
    if kind == "max_ulp":
        figure = judgement.ulp
    elif kind == "row_sum":
        figure = judgement.row_sum_error[:, None]
    elif kind in ("bound_ratio", "algorithm_ratio"):
        figure = ratios(rows, judgement, declaration.algorithm)[kind]
    else:
        figure = _defective(kind, rows, y, judgement, declaration)
    if figure is None:
        return np.zeros(len(y))
    return np.asarray(np.fmax(figure, 0.0).max(axis=1), dtype=np.float64)


def _defective(
    kind: str, rows: Rows, y: NDArray[Any], judgement: Judgement, declaration: Declaration
) -> Flags:
    if kind in _CLASS_WITNESSES:
        return np.asarray(judgement.classes == _CLASS_WITNESSES[kind])
    if kind == "negative_zero":
        return np.asarray(judgement.negative_zero & (judgement.classes != ElementClass.POLICY))
    if kind in _OUTCOME_WITNESSES:
        outcomes = attribute(rows.values, y, rows.truth, judgement, declaration, rows.format)
        return np.asarray(outcomes == _OUTCOME_WITNESSES[kind])[:, None]
    if kind == "policy":
        flags = np.zeros((len(y), 1), dtype=np.bool_)
        for done in policy_rows(rows, y, declaration.policy):
            flags[done.rows[done.violations()]] = True
        return flags
    raise ValueError(f"witness of kind {kind!r}: no output shows it; it is a fault of the call")


def _worst(figure: Floats | None) -> Iterator[tuple[float, int, int]]:
    """Yield the greatest figure of (rows, n) with its row and element, the first of equals, if above zero."""
    if figure is None or (worst := greatest(figure)) is None or worst == 0:
        return
    row, element = divmod(int(np.argmax(figure == worst)), figure.shape[1])
    yield worst, row, element
