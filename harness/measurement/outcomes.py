"""The `Tally` of a batch on which a candidate was called: outputs measured, faults counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.measurement import Judged, Recipe, Rows, tally_of
from harness.measurement.tiers import judge_by_tiers
from harness.subject.execution import Fault, Outcome
from reference.declaration import Declaration
from reference.tiers import Tier
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey, Witness

__all__ = ["fault_tally", "fault_witness", "tally_outcome"]


def tally_outcome(
    cell: CellKey,
    rows: Rows,
    outcome: Outcome,
    declaration: Declaration,
    tiers: Sequence[Tier] = (),
    *,
    profiled: bool = True,
    recipe: Recipe | None = None,
) -> Tally:
    """Return the tally of a batch, whether all, some or none of its rows came back.

    Args:
        cell: the cell that the witnesses will name.
        rows: the batch.
        outcome: what came of calling the candidate.
        declaration: what the candidate says of itself.
        tiers: those to judge by as well.
        profiled: whether to say where in the input errors lie too.
        recipe: makes recipes, which witnesses hold in place of bits.
    """
    done, y, parts = outcome.completed, outcome.outputs, []
    if y is None or not done.any():
        return fault_tally(cell, rows, outcome)
    if outcome.faults:
        parts.append(fault_tally(cell, rows, outcome))
    if not done.all():
        rows, y = rows.take(done), y[done]
    judged = Judged(rows, y, declaration, profiled)
    if tiers:
        parts.append(judge_by_tiers(cell, judged, tiers))
    return merge([*parts, tally_of(cell, judged, sparing=True, recipe=recipe)])


def fault_tally(cell: CellKey, rows: Rows, outcome: Outcome) -> Tally:
    """Return the tally of the rows without outputs; a fault of no one row names the first.

    Rows that were not tried show nothing, and have no witness.
    """
    lost = np.flatnonzero(~outcome.completed)
    first = int(lost[0]) if lost.size else 0
    kinds = Counter[str](fault.kind for fault in outcome.faults)
    shown = [fault for fault in outcome.faults if fault.kind != "not_tried"]
    first_of_kind = {fault.kind: fault for fault in reversed(shown)}.values()
    witnesses = tuple(fault_witness(cell, rows, f, first if f.row is None else f.row) for f in first_of_kind)
    return Tally(rows=lost.size, faults=dict(kinds), witnesses=witnesses)


def fault_witness(cell: CellKey, rows: Rows, fault: Fault, row: int) -> Witness:
    """Return the witness of a fault, by the row that shows it."""
    x, origin = rows.hexadecimal(row), rows.origin(row)
    return Witness(cell, fault.kind, 0.0, x, "", None, origin, fault.message)
