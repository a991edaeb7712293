"""Whether a row still shows what a witness shows, told by calling its candidate again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Judged, Rows, scores_by_row, tally_of
from harness.measurement.tiers import TIER_KINDS, judge_by_tiers
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor, Outcome
from harness.witnesses.recipes import entries_of_hex
from harness.witnesses.shrinking.reduction import BATCH_ELEMENTS, Budget
from reference.errors import RowFailure, judge
from reference.formats import FloatFormat, format_named
from reference.truth import truth
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
    candidate: Candidate,
    executor: Executor,
    budget: Budget,
    timeout: float | None,
    least: float = 0.0,
) -> Evidence | None:
    """Return the evidence of a witness's kind, of that score at least; None where no single row shows it."""
    calls = _Calls(candidate, witness.cell, executor, timeout)
    if witness.kind in kinds_shown_by("format"):
        return None
    if witness.kind in kinds_shown_by("call"):
        return _Fault(calls, witness.kind)
    kept = max(KEPT * witness.score, least) if witness.score else 1.0
    failed = failed_rows([witness])[0]
    return _Score(calls, budget, witness.kind, kept, failed, _is_beside_flushes(witness, candidate))


def _is_beside_flushes(witness: Witness, candidate: Candidate) -> bool:
    """Tell whether flushes are excused and the witness's figure is that of another element."""
    fmt, out = format_named(witness.cell.format), format_named(witness.cell.out_format)
    declaration = candidate.declared(fmt)
    of_element = WITNESS_KINDS[witness.kind].of_element
    if not of_element or witness.element is None or declaration.policy.subnormals == "keep":
        return False
    x, y = fmt.from_bits(entries_of_hex(witness.x, fmt))[None], out.from_bits(entries_of_hex(witness.y, out))
    judged = Judged(_rows(x, fmt, out), y[None], declaration)
    return not judged.flushes[0, witness.element]


def failed_rows(witnesses: Sequence[Witness]) -> list[bool]:
    """Tell whether the rows of witnesses of one cell failed as a whole, by what was recorded of them."""
    if not witnesses:
        return []
    fmt, out = format_named(witnesses[0].cell.format), format_named(witnesses[0].cell.out_format)
    values = fmt.to_float64(fmt.from_bits(np.stack([entries_of_hex(w.x, fmt) for w in witnesses])))
    y = out.from_bits(np.stack([entries_of_hex(w.y, out) for w in witnesses]))
    failed: list[bool] = (judge(y, truth(values, out)).failure != RowFailure.NONE).tolist()
    return failed


@dataclass(frozen=True)
class _Calls:
    candidate: Candidate
    cell: CellKey
    executor: Executor
    timeout: float | None

    @property
    def format(self) -> FloatFormat:
        return format_named(self.cell.format)

    @property
    def out(self) -> FloatFormat:
        return format_named(self.cell.out_format)

    def run(self, x: Array) -> Outcome:
        return self.executor.run(self.candidate.spec, x, self.out, self.timeout)

    def rows(self, x: Array) -> Rows:
        return _rows(x, self.format, self.out)


def _rows(x: Array, fmt: FloatFormat, out: FloatFormat) -> Rows:
    values = fmt.to_float64(x)
    return Rows(fmt, x, values, truth(values, out), 0)


@dataclass(frozen=True)
class _Score:
    """A kind that outputs show: a defect, or at least so much of a figure.

    Attributes:
        budget: told of lost workers.
        least: the least score.
        may_fail: whether the row may fail as a whole; one that does not is no witness of the same
            thing where it does.
        beside_flushes: whether flushes that the policy excuses do not show it.
    """

    calls: _Calls
    budget: Budget
    kind: str
    least: float
    may_fail: bool
    beside_flushes: bool = False
    rows_at_once: int = BATCH_ELEMENTS

    def shows(self, x: Array) -> Flags:
        outcome = self.calls.run(x)
        done = outcome.completed
        self.budget.lost |= not done.all() and any(fault.kind in FATAL_KINDS for fault in outcome.faults)
        shown = np.zeros(len(x), dtype=np.bool_)
        if outcome.outputs is not None:
            judged = self._judged(x[done], outcome.outputs[done])
            sound = self.may_fail or judged.judgement.failure == RowFailure.NONE
            shown[done] = sound & (scores_by_row(self.kind, judged) >= self.least)
        return shown

    def witness(self, row: Array) -> Witness | None:
        outcome = self.calls.run(row[None])
        if outcome.outputs is None or not outcome.completed.all():
            return None
        judged = self._judged(row[None], outcome.outputs)
        if self.kind in TIER_KINDS:
            tally = judge_by_tiers(self.calls.cell, judged, [TIER_KINDS[self.kind]])
        else:
            tally = tally_of(self.calls.cell, judged)
        found = [w for w in tally.witnesses if w.kind == self.kind]
        return found[0] if found and (found[0].score or 1.0) >= self.least else None

    def _judged(self, x: Array, y: Array) -> Judged:
        judged = Judged(self.calls.rows(x), y, self.calls.candidate.declared(self.calls.format))
        return judged.without_flushes() if self.beside_flushes else judged


class _Fault:
    """A kind that calls show; one row at a time, as each that shows it may cost a worker."""

    rows_at_once: int = 1

    def __init__(self, calls: _Calls, kind: str) -> None:
        if kind == "timed_out":
            limit = PATIENCE_SECONDS if calls.timeout is None else min(calls.timeout, PATIENCE_SECONDS)
            calls = replace(calls, timeout=limit)
        self._calls = calls
        self._kind = kind
        self._left = MOST_HANGS if kind == "timed_out" else MOST_DEATHS
        self._harmless: Array | None = None

    def shows(self, x: Array) -> Flags:
        return np.array([self._message(row) is not None for row in x])

    def witness(self, row: Array) -> Witness | None:
        message = self._message(row)
        if message is None:
            return None
        rows = self._calls.rows(row[None])
        return Witness(self._calls.cell, self._kind, 0.0, rows.hexadecimal(0), "", None, "", message)

    def _message(self, row: Array) -> str | None:
        """Return what the candidate does on a row called alone, if it is this kind of fault."""
        if self._left <= 0:
            return None
        outcome = self._calls.run(row[None])
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
            self._calls.run(self._harmless[None])
