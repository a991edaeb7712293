"""Run the checks over rows of every regime, and shrink what breaks a rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import floor_of
from harness.checks.check import Check, CheckResult, Examined, Floor, NotTried, Subject, hexadecimal
from harness.checks.contract import CONTRACT
from harness.checks.properties import PROPERTIES
from harness.checks.rows import RowsOfLength, extent_of, rows_of
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor, Outcome
from harness.subject.rations import Ration
from harness.terminal.interrupts import ATTENTION_SECONDS
from harness.witnesses.shrinking import Budget, origin_of, reduced
from harness.witnesses.shrinking.simplicity import keys
from reference.formats import FloatFormat
from reports.record.witness import OP, CellKey, Witness

__all__ = ["CHECKS", "check_named", "each_check", "run_check", "run_checks"]

Array = NDArray[Any]

CHECKS: Final = (*CONTRACT, *PROPERTIES)
"""Every check, those of the contract first."""

FLOORS: Final[tuple[Floor, ...]] = ("rounded", "faithful")

SHRINKING_ELEMENTS: Final = 1 << 18
SHRINKING_BATCHES: Final = 120


def run_checks(
    candidate: Candidate,
    formats: Iterable[FloatFormat],
    executor: Executor,
    seed: int = 0,
    effort: str = "quick",
    out_format: FloatFormat | None = None,
    timeout: float | None = None,
    checks: Sequence[Check] = CHECKS,
    floors: Sequence[Floor] = FLOORS,
) -> tuple[CheckResult, ...]:
    """Return the result of every check of a candidate in every format, by format.

    Args:
        candidate: whom to check; its policy may excuse it.
        formats: input formats.
        executor: calls it.
        seed: decides the rows.
        effort: quick, standard or deep.
        out_format: the output format; None for the input's own.
        timeout: the most seconds of a call; None for the executor's own.
        checks: what to ask.
        floors: of these tiers the tightest that plain calls meet is asked of other calls too.
    """
    return tuple(
        result
        for fmt in formats
        for result in each_check(
            candidate,
            fmt,
            executor,
            seed,
            effort,
            out_format=out_format,
            timeout=timeout,
            checks=checks,
            floors=floors,
        )
    )


def each_check(
    candidate: Candidate,
    fmt: FloatFormat,
    executor: Executor,
    seed: int = 0,
    effort: str = "quick",
    *,
    out_format: FloatFormat | None = None,
    timeout: float | None = None,
    checks: Sequence[Check] = CHECKS,
    floors: Sequence[Floor] = FLOORS,
    ration: Ration | None = None,
    jobs: int = 1,
) -> Iterator[CheckResult]:
    """Yield the result of each check in one format; as `run_checks` otherwise.

    So many checks run at once as there are jobs; with one job a check runs when its result is asked for.
    """
    subject = Subject(
        candidate, fmt, out_format or fmt, executor, timeout, extent=extent_of(effort), ration=ration
    )
    plain = _PlainCalls(subject, seed, floors)
    if jobs == 1:
        yield from map(plain.result, checks)
    else:
        yield from _side_by_side(plain, checks, jobs)


def _side_by_side(plain: _PlainCalls, checks: Sequence[Check], jobs: int) -> Iterator[CheckResult]:
    """Yield the results in the order of the checks; begin with the last ones, which take longest."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="check")
    try:
        begun = {check: pool.submit(plain.result, check) for check in reversed(checks)}
        for check in checks:
            yield _awaited(begun[check])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _awaited(future: Future[CheckResult]) -> CheckResult:
    while not future.done():
        wait([future], timeout=ATTENTION_SECONDS)
    return future.result()


def run_check(
    check: Check,
    candidate: Candidate,
    fmt: FloatFormat,
    executor: Executor,
    seed: int = 0,
    effort: str = "quick",
) -> CheckResult:
    """Return the result of one check in one format."""
    return run_checks(candidate, [fmt], executor, seed, effort, checks=[check])[0]


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
    """The plain calls of one subject, made once: all checks look at their rows.

    Attributes:
        rows: those that it completes.
        tried: those that it was called with.
        left_out: rows that there was no time for, a phrase each.
        reason: why some are not completed; empty where all are.
    """

    def __init__(self, subject: Subject, seed: int, floors: Sequence[Floor]) -> None:
        self._subject = subject
        self._floors = floors
        self.rows: list[RowsOfLength] = []
        self.tried: list[RowsOfLength] = []
        self.left_out: list[str] = []
        self.reason = ""
        if subject.candidate.supports(subject.format, subject.out):
            self._call_plainly(rows_of(subject.format, subject.extent, seed))
            subject.floor = self._floor() if floors else None

    def result(self, check: Check) -> CheckResult:
        """Return the result of a check; several may be asked for at once."""
        return _Examination(check, self, self._subject.anew()).result()

    def _call_plainly(self, lengths: Iterable[RowsOfLength]) -> None:
        """Keep the rows that the candidate completes when they are called plainly."""
        for whole in lengths:
            rows = self._shared(whole)
            if rows is None:
                continue
            self.tried.append(rows)
            try:
                outcome = self._subject.remember(rows.x)
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
        most = self._subject.share(count, length)
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
                self._subject.remember(kept.x)
                self.rows.append(kept)

    def _floor(self) -> Floor | None:
        """Return the tightest tier of elements that every plain output meets."""
        subject = self._subject
        found = [
            floor_of(subject.format, subject.out, rows.x, y)
            for rows in self.rows
            if (y := subject.outcome(rows.x).outputs) is not None
        ]
        if not found:
            return None
        met = dict(zip(FLOORS, (all(flags) for flags in zip(*found, strict=True)), strict=True))
        return next((floor for floor in FLOORS if floor in self._floors and met[floor]), None)


def _does_not_apply(check: Check, subject: Subject) -> str:
    """Say why a check does not apply to a subject; empty where it does."""
    candidate = subject.candidate
    if not candidate.supports(subject.format, subject.out):
        return f"it does not take {subject.format}"
    if check.needs_axis and candidate.axis_parameter is None:
        return "it has no axis parameter"
    if check.needs_threads and not candidate.declaration.threads:
        return "it declares that threads may not call it at once"
    if check.needs_negative_zero and not subject.out.has_negative_zero:
        return f"{subject.out} has no -0"
    return ""


class _Examination:
    """One check of one subject."""

    def __init__(self, check: Check, plain: _PlainCalls, subject: Subject) -> None:
        self._check = check
        self._plain = plain
        self._subject = subject

    def result(self) -> CheckResult:
        """Return the result of the check."""
        check, subject = self._check, self._subject
        blank = CheckResult(
            check, subject.candidate.name, subject.format.name, subject.out.name, "not_applicable"
        )
        if why := _does_not_apply(check, subject):
            return replace(blank, message=why)
        for what in self._plain.left_out:
            subject.lacks_time_for(what)
        rows = self._plain.tried if check.unpruned else self._plain.rows
        seen: list[_Seen] = []
        lacking = ""
        try:
            for part in rows:
                if not check.examines(part.x.shape[1]):
                    continue
                if subject.has_time:
                    seen.append(self._examine(part))
                else:
                    subject.lacks_time_for(f"rows of {part.x.shape[1]} entries")
        except NotTried as not_tried:
            lacking = str(not_tried)
        blank = replace(blank, looked=subject.looked)
        if lacking and not any(s.examined.broken.any() for s in seen):
            return replace(blank, status="not_run", message=lacking)
        return self._judged(blank, seen)

    def _examine(self, rows: RowsOfLength) -> _Seen:
        check, subject, length = self._check, self._subject, rows.x.shape[1]
        chosen = rows.take(check.most(length))
        if check.thins(length, subject.out):
            chosen = chosen.thinned(subject.format)
        return _Seen(chosen, check.examine(subject, chosen.x))

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
        place = seen.simplest(self._subject.format)
        row, origin = seen.rows.x[place], seen.rows.origin(place)
        note = seen.examined.note(place)
        cell = self._cell(seen.rows.regimes[place], len(row))
        try:
            found = self._shrunk(seen, row, origin, note)
        except NotTried:
            found = row, origin, note
        return self._witness(cell, *found)

    def _shrunk(self, seen: _Seen, row: Array, origin: str, note: str) -> tuple[Array, str, str]:
        """Return the smallest row found, where it comes from, and what is seen of it."""
        check = self._check

        def shows(x: Array) -> NDArray[np.bool_]:
            found = check.examine(self._subject, np.ascontiguousarray(x))
            return found.broken if found.beyond is None or not seen.is_beyond else found.beyond

        if not shows(row[None])[0]:
            return row, origin, f"{note} (not when called alone)"
        if not check.rows_at_once:
            return row, origin, note
        budget = Budget(SHRINKING_ELEMENTS, SHRINKING_BATCHES).within(self._subject.ration)
        steps = reduced(row, None, self._subject.format, shows, budget, check.rows_at_once)
        for smaller in reversed(steps):
            alone = check.examine(self._subject, smaller[None])
            if alone.broken[0]:
                told = origin if len(steps) == 1 else origin_of(origin, row, smaller)
                return smaller, told, alone.note(0)
        return row, origin, note

    def _cell(self, regime: str, length: int) -> CellKey:
        subject = self._subject
        return CellKey(subject.candidate.name, OP, subject.format.name, subject.out.name, regime, length)

    def _witness(self, cell: CellKey, row: Array, origin: str, note: str) -> Witness:
        subject = self._subject
        y = ""
        with suppress(NotTried):
            outcome = subject.call(row[None])
            y = "" if outcome.outputs is None else subject.out.to_hex(outcome.outputs[0])
        message = f"x = {hexadecimal(subject.format, row)}: {note}"
        return Witness(cell, self._check.name, 0.0, subject.format.to_hex(row), y, None, origin, message)
