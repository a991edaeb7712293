"""Witnesses made small: the fewest and simplest entries that still show the same.

    small = shrink(witness, candidate, executor)
    print(emit_test(small, candidate))

A shrunk witness shows the same kind of defect, or keeps nine tenths of its score, when its row is called
alone; it names the same cell, and its origin says from how many entries it was shrunk. Reductions are a
pure function of the witness and of what the candidate returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from harness.candidates import Candidate
from harness.execution import Executor
from harness.remaking import row_of
from harness.replaying import completed
from harness.shrinking.emitting import emit_test
from harness.shrinking.evidence import evidence_of
from harness.shrinking.reduction import Budget, Shows, reduced
from reference.formats import format_named
from reports.ledger import Ledger
from reports.tally import CellKey, Witness, gravity

__all__ = ["Budget", "Shows", "emit_test", "reduced", "shrink", "shrink_all"]

ALL_ELEMENTS: Final = 1 << 24
"""What `shrink_all` spends, counted in evaluated entries: some seconds."""


def shrink(
    witness: Witness,
    candidate: Candidate,
    executor: Executor,
    budget: Budget | None = None,
    timeout: float | None = None,
    least: float = 0.0,
) -> Witness:
    """Return a witness of a smaller row; the same one where none is found or its row alone does not show it.

    Args:
        witness: what to shrink.
        candidate: its candidate; the declaration decides what counts as a defect.
        executor: calls it.
        budget: what may be spent, and is charged.
        timeout: the most seconds of a call; None for the executor's own.
        least: what its score is to stay, at least, lest it show no more what it was kept for.

    Raises:
        UsageError: the witness's bits are not a row of its format.
    """
    fmt = format_named(witness.cell.format)
    whole = completed(witness, candidate, executor, timeout)
    row = row_of(whole)
    evidence = evidence_of(whole, candidate, executor, timeout, least)
    if evidence is None or not evidence.shows(row[None])[0]:
        return witness
    budget = Budget() if budget is None else budget
    steps = reduced(row, witness.element, fmt, evidence.shows, budget, evidence.rows_at_once)
    for smaller in reversed(steps[1:]):
        found = evidence.witness(smaller)
        if found is not None:
            return replace(found, origin=f"{witness.origin}, shrunk from {len(row)} entries")
    return witness


def shrink_all(
    ledger: Ledger,
    candidates: Mapping[str, Candidate],
    executor: Executor,
    elements: int = ALL_ELEMENTS,
    timeout: float | None = None,
) -> dict[str, Witness]:
    """Return shrunk witnesses of a run by the id of the witness that each was.

    Those are the worst of each kind of each candidate and format, the gravest kinds first, as far as
    `elements` evaluated entries go. The order, and so the result, depends on the ledger alone.

    Args:
        ledger: the run.
        candidates: by the names that its cells have.
        executor: calls them.
        elements: what may be spent.
        timeout: the most seconds of a call; None for the executor's own.
    """
    shrunk = {}
    for witness in _gravest_first(w for _, tally in ledger.tallies() for w in tally.witnesses):
        candidate = candidates.get(witness.cell.candidate)
        if candidate is None or elements <= 0:
            continue
        share = Budget(elements=min(elements, Budget().elements))
        elements -= share.elements
        smaller = shrink(witness, candidate, executor, share, timeout)
        elements += share.elements
        if smaller is not witness:
            shrunk[witness.id] = smaller
    return shrunk


def _gravest_first(witnesses: Iterable[Witness]) -> list[Witness]:
    """Return the worst witness of each candidate, format and kind; of equals the shortest."""
    worst: dict[tuple[str, ...], Witness] = {}
    for witness in witnesses:
        group = _group(witness.cell, witness.kind)
        if group not in worst or _rank(witness) < _rank(worst[group]):
            worst[group] = witness
    return sorted(worst.values(), key=lambda w: (gravity(w), w.cell, w.kind))


def _group(cell: CellKey, kind: str) -> tuple[str, ...]:
    return cell.candidate, cell.op, cell.format, cell.out_format, kind


def _rank(witness: Witness) -> tuple[float, int, str, str]:
    return -witness.score, witness.cell.length, witness.cell.regime, witness.origin
