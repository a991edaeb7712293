"""One witness made small."""

from __future__ import annotations

from dataclasses import replace

from harness.subject.subject import Subject
from harness.witnesses.recipes import completed, row_of
from harness.witnesses.shrinking.interestingness import evidence_of
from harness.witnesses.shrinking.reduction import Budget, origin_of, reduced
from reports.record.witness import Witness

__all__ = ["shrink", "smallest"]


def shrink(
    witness: Witness,
    subject: Subject,
    budget: Budget | None = None,
    least: float = 0.0,
) -> Witness:
    """Return a witness of a smaller row; the same one where none is found or its row alone does not show it.

    Args and Raises: see `smallest`.
    """
    found = smallest(witness, subject, budget, least)
    return witness if found is None else found


def smallest(
    witness: Witness,
    subject: Subject,
    budget: Budget | None = None,
    least: float = 0.0,
) -> Witness | None:
    """Return the smallest witness found, maybe the same one; None where its row alone does not show it.

    Args:
        witness: what to shrink.
        subject: its candidate; the declaration decides what counts as a defect.
        budget: what may be spent, and is charged.
        least: what its score is to stay, at least, lest it show no more what it was kept for.

    Raises:
        UsageError: the witness's bits are not a row of its format.
    """
    whole = completed(witness, subject)
    if not whole.y and witness.remade is not None and witness.remade.y_digest:
        return None  # it was made again, and called, and does not come back any more
    row = row_of(whole)
    budget = Budget() if budget is None else budget
    evidence = evidence_of(whole, subject, budget, least)
    if evidence is None or not evidence.shows(row[None])[0]:
        return None
    steps = reduced(
        row, witness.element, subject.format, evidence.shows, budget, evidence.rows_at_once, subject.within
    )
    for smaller in reversed(steps[1:]):
        found = evidence.witness(smaller)
        if found is not None:
            return replace(found, origin=origin_of(witness.origin, row, smaller))
    return witness
