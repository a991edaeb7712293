"""Run the checks over rows of every regime, and shrink what breaks a rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import floor_of
from harness.checks.check import Check, CheckResult, Examined, Examinee, Floor, NotTried, written
from harness.checks.contract import CONTRACT
from harness.checks.properties import PROPERTIES
from harness.checks.samples import RowsOfLength, extent_of, rows_of
from harness.subject.execution import Outcome
from harness.subject.rations import Ration
from harness.subject.subject import Subject
from harness.terminal.interrupts import awaited
from harness.witnesses.shrinking import Budget, origin_of, reduced
from harness.witnesses.shrinking.simplicity import keys
from reference.formats import FloatFormat
from reports.record.witness import CellKey, Witness

__all__ = ["CHECKS", "check_named", "each_check", "run_check", "run_checks"]

Array = NDArray[Any]

CHECKS: Final = (*CONTRACT, *PROPERTIES)
"""Every check, those of the contract first."""

FLOORS: Final[tuple[Floor, ...]] = ("rounded", "faithful")

SHRINKING_ELEMENTS: Final = 1 << 18
SHRINKING_BATCHES: Final = 120


def run_checks(
    subjects: Iterable[Subject],
    seed: int = 0,
    effort: str = "quick",
    checks: Sequence[Check] = CHECKS,
    floors: Sequence[Floor] = FLOORS,
) -> tuple[CheckResult, ...]:
    """Return the result of every check of every subject, in turn.

    Args:
        subjects: whom to check; their policy may excuse them.
        seed: decides the rows.
        effort: brief, quick, standard or deep.
        checks: what to ask.
        floors: of these tiers the tightest that plain calls meet is asked of other calls too.
    """
    return tuple(
        result
        for subject in subjects
        for result in each_check(subject, seed, effort, checks=checks, floors=floors)
    )


def each_check(
    subject: Subject,
    seed: int = 0,
    effort: str = "quick",
    *,
    checks: Sequence[Check] = CHECKS,
    floors: Sequence[Floor] = FLOORS,
    ration: Ration | None = None,
    jobs: int = 1,
) -> Iterator[CheckResult]:
    """Yield the result of each check of one subject; as `run_checks` otherwise.

    So many checks run at once as there are jobs; with one job a check runs when its result is asked for.
    """
    examinee = Examinee(subject, extent=extent_of(effort), ration=ration)
    plain = _PlainCalls(examinee, seed, floors)
    if jobs == 1:
        yield from map(plain.result, checks)
    else:
        yield from _side_by_side(plain, checks, jobs)


def _side_by_side(plain: _PlainCalls, checks: Sequence[Check], jobs: int) -> Iterator[CheckResult]:
    """Yield the results in the order of the checks; begin with those that take longest."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="check")
    try:
        longest_first = sorted(checks, key=lambda check: -check.takes)
        begun = {check: pool.submit(plain.result, check) for check in longest_first}
        for check in checks:
            yield awaited(begun[check])
        pool.shutdown()  # its threads have nothing left to do, and would keep this process from being copied
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def run_check(
    check: Check,
    subject: Subject,
    seed: int = 0,
    effort: str = "quick",
) -> CheckResult:
    """Return the result of one check of a subject."""
    return run_checks([subject], seed, effort, checks=[check])[0]


def check_named(name: str) -> Check:
    """Return the check of that name.

    Raises:
        ValueError: there is none.
    """
    for check in CHECKS:
        if check.name == name:
            return check
    raise ValueError(f"check {name!r}: it is one of {', '.join(check.name for check in CHECKS)}")


@dataclass(frozen=True)
class _Seen:
    """What an examination of rows of one length found."""

    rows: RowsOfLength
    examined: Examined

    @property
    def is_beyond(self) -> bool:
        """Whether a row breaks the rule by more than rounding explains."""
        return self.examined.beyond is not None and bool(self.examined.beyond.any())

    def simplest(self, fmt: FloatFormat) -> int:
        """Return the place of the simplest row that breaks the rule."""
        broken = np.flatnonzero(self.examined.worst)
        ranks = keys(fmt, self.rows.x[broken])
        return int(broken[min(range(len(broken)), key=ranks.__getitem__)])


class _PlainCalls:
    """The plain calls of an examinee, made once: all checks look at their rows.

    Attributes:
        rows: those that it completes.
        tried: those that it was called with.
        left_out: rows that there was no time for, a phrase each.
        reason: why some are not completed; empty where all are.
    """

    def __init__(self, examinee: Examinee, seed: int, floors: Sequence[Floor]) -> None:
        self._examinee = examinee
        self._floors = floors
        self.rows: list[RowsOfLength] = []
        self.tried: list[RowsOfLength] = []
        self.left_out: list[str] = []
        self.reason = ""
        if examinee.subject.is_supported:
            self._call_plainly(rows_of(examinee.format, examinee.extent, seed, examinee.subject.within))
            examinee.floor = self._floor() if floors else None

    def result(self, check: Check) -> CheckResult:
        """Return the result of a check; several may be asked for at once."""
        return _Examination(check, self, self._examinee.anew()).result()

    def _call_plainly(self, lengths: Iterable[RowsOfLength]) -> None:
        """Keep the rows that the candidate completes when they are called plainly."""
        for whole in lengths:
            rows = self._shared(whole)
            if rows is None:
                continue
            self.tried.append(rows)
            try:
                outcome = self._examinee.remember(rows.x)
            except NotTried as not_tried:
                self.reason = self.reason or str(not_tried)
                continue
            if any(fault.kind == "unsupported" for fault in outcome.faults):
                self.reason = outcome.faults[0].message
                return
            self._keep(rows, outcome)

    def _shared(self, rows: RowsOfLength) -> RowsOfLength | None:
        """Return the rows of a length that there is time for; None where there is none."""
        count, length = rows.x.shape
        most = self._examinee.share(count, length)
        if most < count:
            self.left_out.append(f"{count - most} of {count} rows of {length} entries: no time")
        return rows.take(most) if most else None

    def _keep(self, rows: RowsOfLength, outcome: Outcome) -> None:
        if outcome.completed.all():
            self.rows.append(rows)
            return
        self.reason = self.reason or next((fault.message for fault in outcome.faults), "")
        if outcome.completed.any():
            kept = rows.of(np.flatnonzero(outcome.completed).tolist())
            with suppress(NotTried):
                self._examinee.remember(kept.x)
                self.rows.append(kept)

    def _floor(self) -> Floor | None:
        """Return the tightest tier of elements that every plain output meets."""
        examinee = self._examinee
        found = [
            floor_of(examinee.subject, rows.x, y)
            for rows in self.rows
            if (y := examinee.outcome(rows.x).outputs) is not None
        ]
        if not found:
            return None
        met = dict(zip(FLOORS, (all(flags) for flags in zip(*found, strict=True)), strict=True))
        return next((floor for floor in FLOORS if floor in self._floors and met[floor]), None)


def _does_not_apply(check: Check, examinee: Examinee) -> str:
    """Say why a check does not apply to an examinee; empty where it does."""
    candidate = examinee.candidate
    if not examinee.subject.is_supported:
        return f"it does not take {examinee.format}"
    if check.needs_axis and candidate.axis_parameter is None:
        return "it has no axis parameter"
    if check.needs_threads and not candidate.declaration.threads:
        return "it declares that threads may not call it at once"
    if why := check.says_nothing_of(examinee.subject.op):
        return why
    if check.needs_negative_zero and not examinee.out.has_negative_zero:
        return f"{examinee.out} has no -0"
    return ""


class _Examination:
    """One check of an examinee."""

    def __init__(self, check: Check, plain: _PlainCalls, examinee: Examinee) -> None:
        self._check = check
        self._plain = plain
        self._examinee = examinee

    def result(self) -> CheckResult:
        """Return the result of the check."""
        check, examinee = self._check, self._examinee
        blank = CheckResult(
            check, examinee.candidate.name, examinee.format.name, examinee.out.name, "not_applicable"
        )
        if why := _does_not_apply(check, examinee):
            return replace(blank, message=why)
        for what in self._plain.left_out:
            examinee.lacks_time_for(what)
        rows = self._plain.tried if check.unpruned else self._plain.rows
        seen: list[_Seen] = []
        lacking = ""
        try:
            for part in rows:
                if not check.examines(part.x.shape[1]):
                    continue
                if self._needs_lower(part.x.shape[1]):
                    examinee.lacks_time_for(f"rows of {part.x.shape[1]} entries: none may be lowered")
                    continue
                if examinee.has_time:
                    seen.append(self._examine(part))
                else:
                    examinee.lacks_time_for(f"rows of {part.x.shape[1]} entries")
        except NotTried as not_tried:
            lacking = str(not_tried)
        blank = replace(blank, looked=examinee.looked)
        if lacking and not any(s.examined.broken.any() for s in seen):
            return replace(blank, status="not_run", message=lacking)
        return self._judged(blank, seen)

    def _needs_lower(self, length: int) -> bool:
        """Tell whether rows of a length are to have all but a few entries lowered beyond the range."""
        subject = self._examinee.subject
        if subject.within is None or not self._check.thins(length, subject.out):
            return False
        return not subject.within.holds_number(-float(subject.format.largest))

    def _examine(self, rows: RowsOfLength) -> _Seen:
        check, examinee, length = self._check, self._examinee, rows.x.shape[1]
        chosen = rows.take(check.most(length))
        if check.thins(length, examinee.out):
            chosen = chosen.thinned(examinee.format)
        return _Seen(chosen, check.examine(examinee, chosen.x))

    def _judged(self, blank: CheckResult, seen: list[_Seen]) -> CheckResult:
        tried = sum(int(s.examined.tried.sum()) for s in seen)
        broken = sum(int(s.examined.broken.sum()) for s in seen)
        if not tried:
            return replace(
                blank, status="not_run", message=self._plain.reason or "no row of this format tries it"
            )
        if not broken:
            return replace(blank, status="ok", rows=tried)
        beyond = sum(int(s.examined.beyond.sum()) for s in seen if s.examined.beyond is not None)
        first = next(s for s in seen if s.examined.broken.any() and (not beyond or s.is_beyond))
        witness = self._counterexample(first)
        return replace(
            blank,
            status="violated",
            rows=tried,
            broken=broken,
            beyond=beyond,
            message=witness.message,
            witness=witness,
        )

    # Counterexamples -----------------------------------------------------------------------

    def _counterexample(self, seen: _Seen) -> Witness:
        """Return the simplest row of those seen, shrunk as far as it still breaks the rule alone."""
        place = seen.simplest(self._examinee.format)
        row, origin = seen.rows.x[place], seen.rows.origin(place)
        note = seen.examined.note(place)
        cell = self._examinee.subject.cell(seen.rows.regimes[place], len(row))
        try:
            found = self._shrunk(seen, row, origin, note)
        except NotTried:
            found = row, origin, note
        return self._witness(cell, *found)

    def _shrunk(self, seen: _Seen, row: Array, origin: str, note: str) -> tuple[Array, str, str]:
        """Return the smallest row found, where it comes from, and what is seen of it."""
        check = self._check

        def shows(x: Array) -> NDArray[np.bool_]:
            found = check.examine(self._examinee, np.ascontiguousarray(x))
            return found.broken if found.beyond is None or not seen.is_beyond else found.beyond

        if not shows(row[None])[0]:
            return row, origin, f"{note} (not when called alone)"
        if not check.rows_at_once:
            return row, origin, note
        budget = Budget(SHRINKING_ELEMENTS, SHRINKING_BATCHES).within(self._examinee.ration)
        subject = self._examinee.subject
        steps = reduced(row, None, subject.format, shows, budget, check.rows_at_once, subject.within)
        for smaller in reversed(steps):
            alone = check.examine(self._examinee, smaller[None])
            if alone.broken[0]:
                told = origin if len(steps) == 1 else origin_of(origin, row, smaller)
                return smaller, told, alone.note(0)
        return row, origin, note

    def _witness(self, cell: CellKey, row: Array, origin: str, note: str) -> Witness:
        examinee = self._examinee
        y = ""
        with suppress(NotTried):
            outcome = examinee.call(row[None])
            y = "" if outcome.outputs is None else examinee.out.to_hex(outcome.outputs[0])
        message = f"x = {written(examinee.format, row)}: {note}"
        return Witness(cell, self._check.name, 0.0, examinee.format.to_hex(row), y, None, origin, message)
