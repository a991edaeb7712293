"""Whether a row still shows what a witness shows, told by calling its candidate again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Judged, Rows, scores_by_row, tally_of
from harness.measurement.tiers import TIER_KINDS, judge_by_tiers
from harness.subject.subject import Subject
from harness.witnesses.recipes import entries_of_hex
from harness.witnesses.shrinking.reduction import BATCH_ELEMENTS, Budget
from reference.errors import RowFailure
from reference.formats import format_named
from reference.ops import op_named
from reference.row_kinds import RowKind
from reports.record.witness import CellKey, Witness
from reports.record.witness_kinds import FATAL_KINDS, WITNESS_KINDS, kinds_shown_by

__all__ = ["KEPT", "Evidence", "evidence_of", "failed_rows"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

KEPT: Final = 0.9
"""The share of a score that a shrunk row keeps, at least."""

PATIENCE_SECONDS: Final = 0.5
"""A row that hangs is given up after this long, where the executor would wait longer."""

MOST_HANGS: Final = 6
MOST_DEATHS: Final = 16


class Evidence(Protocol):
    """Tells which rows show what a witness shows."""

    @property
    def rows_at_once(self) -> int:
        """How many it is asked about at a time, at most."""

    def shows(self, x: Array) -> Flags:
        """Tell which rows of (k, n) show it."""

    def witness(self, row: Array) -> Witness | None:
        """Return the witness of a row called alone, None where it does not show it."""


def evidence_of(
    witness: Witness,
    subject: Subject,
    budget: Budget,
    least: float = 0.0,
) -> Evidence | None:
    """Return the evidence of a witness's kind, of that score at least; None where no single row shows it."""
    if witness.kind in kinds_shown_by("format"):
        return None
    if witness.kind in kinds_shown_by("call"):
        return _Fault(subject, witness)
    kept = max(KEPT * witness.score, least) if witness.score else 1.0
    failed = failed_rows([witness])[0]
    beside = _is_beside_flushes(witness, subject)
    policy_rows = _kind_of_row(witness) if WITNESS_KINDS[witness.kind].shown_by == "policy" else None
    return _Score(subject, witness.cell, budget, witness.kind, kept, failed, beside, policy_rows)


def _kind_of_row(witness: Witness) -> RowKind:
    """Return the kind of a witness's row: what is expected of NaN says nothing of a row with +inf."""
    fmt = format_named(witness.cell.format)
    row = fmt.to_float64(fmt.from_bits(entries_of_hex(witness.x, fmt)))[None]
    return RowKind(op_named(witness.cell.op).kinds(row)[0])


def _is_beside_flushes(witness: Witness, subject: Subject) -> bool:
    """Tell whether flushes are excused and the witness's figure is that of another element."""
    fmt, out, declaration = subject.format, subject.out, subject.declaration
    of_element = WITNESS_KINDS[witness.kind].of_element
    if not of_element or witness.element is None or declaration.policy.subnormals == "keep":
        return False
    x, y = fmt.from_bits(entries_of_hex(witness.x, fmt))[None], out.from_bits(entries_of_hex(witness.y, out))
    judged = Judged(Rows.about(subject, x), y[None], declaration)
    return not judged.flushes[0, witness.element]


def failed_rows(witnesses: Sequence[Witness]) -> list[bool]:
    """Tell whether the rows of witnesses of one cell failed as a whole, by what was recorded of them."""
    if not witnesses:
        return []
    fmt, out = format_named(witnesses[0].cell.format), format_named(witnesses[0].cell.out_format)
    values = fmt.to_float64(fmt.from_bits(np.stack([entries_of_hex(w.x, fmt) for w in witnesses])))
    y = out.from_bits(np.stack([entries_of_hex(w.y, out) for w in witnesses]))
    op = op_named(witnesses[0].cell.op)
    failed: list[bool] = (op.judge_certified(y, op.truth(values, out), 1).failure != RowFailure.NONE).tolist()
    return failed


@dataclass(frozen=True)
class _Score:
    """A kind that outputs show: a defect, or at least so much of a figure.

    Attributes:
        budget: told of lost workers.
        least: the least score.
        may_fail: whether the row may fail as a whole; one that does not is no witness of the same
            thing where it does.
        beside_flushes: whether flushes that the policy excuses do not show it.
        policy_rows: of a policy's witness, the kind of rows that show it.
    """

    subject: Subject
    cell: CellKey
    budget: Budget
    kind: str
    least: float
    may_fail: bool
    beside_flushes: bool = False
    policy_rows: RowKind | None = None
    rows_at_once: int = BATCH_ELEMENTS

    def shows(self, x: Array) -> Flags:
        outcome = self.subject.run(x)
        done = outcome.completed
        self.budget.lost |= not done.all() and any(fault.kind in FATAL_KINDS for fault in outcome.faults)
        shown = np.zeros(len(x), dtype=np.bool_)
        if outcome.outputs is not None:
            judged = self._judged(x[done], outcome.outputs[done])
            sound = self.may_fail or judged.judgement.failure == RowFailure.NONE
            shown[done] = sound & (scores_by_row(self.kind, judged) >= self.least)
            if self.policy_rows is not None:
                shown[done] &= judged.rows.truth.kinds == self.policy_rows
        return shown

    def witness(self, row: Array) -> Witness | None:
        outcome = self.subject.run(row[None])
        if outcome.outputs is None or not outcome.completed.all():
            return None
        judged = self._judged(row[None], outcome.outputs)
        if self.kind in TIER_KINDS:
            tally = judge_by_tiers(self.cell, judged, [TIER_KINDS[self.kind]])
        else:
            tally = tally_of(self.cell, judged)
        found = [w for w in tally.witnesses if w.kind == self.kind]
        return found[0] if found and (found[0].score or 1.0) >= self.least else None

    def _judged(self, x: Array, y: Array) -> Judged:
        subject = self.subject
        judged = Judged(Rows.about(subject, x), y, subject.declaration)
        return judged.without_flushes() if self.beside_flushes else judged


class _Fault:
    """A kind that calls show; one row at a time, as each that shows it may cost a worker."""

    rows_at_once: int = 1

    def __init__(self, subject: Subject, witness: Witness) -> None:
        kind, limit = witness.kind, subject.timeout
        if kind == "timed_out":
            limit = PATIENCE_SECONDS if limit is None else min(limit, PATIENCE_SECONDS)
        self._subject = replace(subject, timeout=limit)
        self._cell = witness.cell
        self._kind = kind
        self._left = MOST_HANGS if kind == "timed_out" else MOST_DEATHS
        self._harmless: Array | None = None

    def shows(self, x: Array) -> Flags:
        return np.array([self._message(row) is not None for row in x])

    def witness(self, row: Array) -> Witness | None:
        message = self._message(row)
        if message is None:
            return None
        encoded = self._subject.format.to_hex(row)
        return Witness(self._cell, self._kind, 0.0, encoded, "", None, "", message)

    def _message(self, row: Array) -> str | None:
        """Return what the candidate does on a row called alone, if it is this kind of fault."""
        if self._left <= 0:
            return None
        outcome = self._subject.run(row[None])
        if not outcome.faults:
            self._harmless = row
        messages = [fault.message for fault in outcome.faults if fault.kind == self._kind and fault.row == 0]
        if messages and self._kind in FATAL_KINDS:
            self._recover()
        return messages[0] if messages else None

    def _recover(self) -> None:
        """Count a lost worker, and call a harmless row: an executor gives up on who only loses workers."""
        self._left -= 1
        if self._harmless is not None:
            self._subject.run(self._harmless[None])
