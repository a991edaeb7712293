"""Examine a group of suspects with the gate's rows, tiers, contract and verdicts.

All judging is the gate's own; only time is saved. Rows and their truth are made once for all suspects of a
format, and outputs of many suspects are judged at once. Rows that show most defects come first, and a suspect
that fails is not examined further, since one failing verdict fails the gate. Expensive stages that seldom
show a defect come last: a brief contract precedes the gate's own, and the `crowd` regime and the lengths that
the seed draws follow the other cells. Each stage examines suspects in a fresh state. A suspect that fails in
no stage has passed all that the gate asks, except where a brief examination was requested.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from harness.campaign.plan import Plan
from harness.campaign.settings import BRIEF, Effort, Settings
from harness.campaign.tasks import BATCH_ELEMENTS, Shard
from harness.campaign.workload import Batch
from harness.checks import each_check
from harness.checks.contract import CONTRACT
from harness.gate import of_tier
from harness.gate.gate_campaign import GATE, Cell, gate_settings
from harness.gate.judgement import judge_cell, judge_check
from harness.measurement import Rows
from harness.measurement.outcomes import tally_outcome
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor, InProcess, Outcome
from harness.subject.subject import Subject
from reference.declaration import Declaration
from reference.formats import FloatFormat
from reference.ops import Op, op_named
from reference.tiers import STANDARD, TIERS, Tier
from reports.record.cells import CHEAP, cell_row
from reports.record.ledger import CellInfo
from reports.record.verdicts import FAILED, Verdict
from reports.record.witness import CellKey
from strategies.regimes.crowd import CROWD

__all__ = ["Suspect", "first_failures"]

FIRST_LENGTH: Final = 100
"""The length whose rows come first; the others follow by the distance of their logarithms."""


@dataclass(frozen=True)
class Suspect:
    """A defect or control to examine.

    Attributes:
        name: unique in its group.
        make: returns the candidate of that name and spec, in a fresh state.
        tiers: the tiers that it must meet, each.
        strict: whether a verdict that is neither pass nor failure, such as `not_run`, counts as a failure.
        checks_first: whether the contract comes before the cells.
        near: whether to examine it briefly: a brief contract, no `crowd`, no lengths that the seed draws.
    """

    name: str
    make: Callable[[], Candidate]
    tiers: tuple[str, ...]
    strict: bool = False
    checks_first: bool = False
    near: bool = False


Wanted = Callable[[Suspect], bool]


def first_failures(
    suspects: Sequence[Suspect],
    fmt: FloatFormat,
    *,
    effort: Effort = GATE,
    settled: Callable[[int], None] = lambda _: None,
) -> dict[str, Verdict]:
    """Return the first failing verdict of each suspect that fails, by its name.

    Args:
        suspects: the group.
        fmt: the format.
        effort: the number of rows; the gate's own by default.
        settled: called with the number of new failures.
    """
    return _Trial(suspects, fmt, effort, settled).failures()


class _Trial:
    def __init__(
        self, suspects: Sequence[Suspect], fmt: FloatFormat, effort: Effort, settled: Callable[[int], None]
    ) -> None:
        self._suspects = {suspect.name: suspect for suspect in suspects}
        self._format = fmt
        self._settled = settled
        tiers = tuple(dict.fromkeys(tier for suspect in suspects for tier in suspect.tiers))
        self._settings = gate_settings(Settings(tuple(self._suspects), (fmt,), effort=effort), tiers)
        self._plan = Plan(self._settings, ())
        self._failures: dict[str, Verdict] = {}

    def failures(self) -> dict[str, Verdict]:
        """Examine the suspects in stages, the most expensive last, until they fail."""
        near, far = self._shards()
        extent = self._settings.effort.extent
        self._examine_contract(BRIEF.extent, lambda suspect: suspect.checks_first)
        self._examine_cells(near, lambda _: True)
        self._examine_contract(BRIEF.extent, lambda suspect: not suspect.checks_first)
        if extent != BRIEF.extent:
            self._examine_contract(extent, lambda suspect: not suspect.near and suspect.checks_first)
        self._examine_cells(far, lambda suspect: not suspect.near)
        if extent != BRIEF.extent:
            self._examine_contract(extent, lambda suspect: not suspect.near and not suspect.checks_first)
        return self._failures

    def _shards(self) -> tuple[list[Shard], list[Shard]]:
        """Return the shards for all suspects, and those for suspects that are not `near`, the best first."""
        effort = replace(self._settings.effort, drawn=None, crowd=0)
        near = set(Plan(replace(self._settings, effort=effort), ()).shards())
        every = sorted(self._plan.shards(), key=_rank)
        return [shard for shard in every if shard in near], [shard for shard in every if shard not in near]

    def _remaining(self, wanted: Wanted) -> dict[str, Candidate]:
        """Return the wanted suspects that have not failed, by name, each in a fresh state."""
        return {
            name: suspect.make()
            for name, suspect in self._suspects.items()
            if name not in self._failures and wanted(suspect)
        }

    def _note(self, verdicts: Iterator[Verdict]) -> None:
        """Record the first verdict that fails its suspect."""
        for verdict in verdicts:
            strict = self._suspects[verdict.candidate].strict
            if verdict.status != "pass" and (strict or verdict.status in FAILED):
                self._failures[verdict.candidate] = verdict
                self._settled(1)
                return

    # The contract --------------------------------------------------------------------------

    def _examine_contract(self, extent: str, wanted: Wanted) -> None:
        candidates = self._remaining(wanted)
        with InProcess(load=candidates.__getitem__) as executor:
            for candidate in candidates.values():
                self._note(self._contract(candidate, executor, extent))

    def _contract(self, candidate: Candidate, executor: Executor, extent: str) -> Iterator[Verdict]:
        subject = Subject(candidate, self._format, self._format, executor)
        for result in each_check(subject, self._settings.seed, extent, checks=CONTRACT, floors=()):
            yield from judge_check(result)

    # Cells ---------------------------------------------------------------------------------

    def _examine_cells(self, shards: Sequence[Shard], wanted: Wanted) -> None:
        candidates = self._remaining(wanted)
        with InProcess(load=candidates.__getitem__) as executor:
            for shard in shards:
                for batch in self._plan.workload.batches(shard):
                    remaining = [c for name, c in candidates.items() if name not in self._failures]
                    if not remaining:
                        return
                    room = max(1, BATCH_ELEMENTS // batch.x.size)
                    for some in _alike(shard, remaining, self._suspects, room):
                        self._judge(shard, batch, executor, some)

    def _judge(self, shard: Shard, batch: Batch, executor: Executor, alike: _Alike) -> None:
        """Judge the outputs of a batch, of several suspects at once."""
        outcomes = {
            c.name: executor.run(c.spec, batch.x, shard.out_format, reduces=alike.op.reduces)
            for c in alike.candidates
        }
        standard = _Standard(shard, alike.tiers, alike.op, alike.declaration)
        for part, rows in batch.parts(alike.op):
            called = [_Called(n, out.of(part)) for n, out in outcomes.items() if n not in self._failures]
            if called:
                self._judge_together(standard, rows, called)

    def _judge_together(self, standard: _Standard, rows: Rows, called: Sequence[_Called]) -> None:
        """Judge the outputs as those of one suspect, and each half of them where that fails.

        Clauses of a tier and defects are counts, and ratios are maxima. So where the whole shows no violation
        and nothing excused, no part does.
        """
        if len(called) == 1:
            self._note(standard.judged(rows, called[0])[1])
            return
        if (together := _together(called)) is not None:
            repeated = rows.repeated(len(called), {STANDARD, *standard.bounded})
            cell, verdicts = standard.judged(repeated, together)
            if not cell.tally.excused and all(verdict.status == "pass" for verdict in verdicts):
                return
        half = len(called) // 2
        self._judge_together(standard, rows, called[:half])
        self._judge_together(standard, rows, called[half:])


def _rank(shard: Shard) -> tuple[bool, float]:
    return shard.regime == CROWD, abs(math.log(shard.length / FIRST_LENGTH))


@dataclass(frozen=True)
class _Alike:
    """Suspects with the same tiers, op and declaration, few enough to judge their outputs at once."""

    tiers: tuple[str, ...]
    op: Op
    declaration: Declaration
    candidates: Sequence[Candidate]


def _alike(
    shard: Shard, remaining: Sequence[Candidate], suspects: Mapping[str, Suspect], room: int
) -> Iterator[_Alike]:
    groups: dict[tuple[tuple[str, ...], str, Declaration], list[Candidate]] = defaultdict(list)
    for c in remaining:
        groups[suspects[c.name].tiers, c.op.name, c.declared(shard.format)].append(c)
    for (tiers, op, declaration), some in groups.items():
        parts = (some[i : i + room] for i in range(0, len(some), room))
        yield from (_Alike(tiers, op_named(op), declaration, part) for part in parts)


@dataclass(frozen=True)
class _Standard:
    """The tiers, the op and the declaration by which outputs of a shard's rows are judged."""

    shard: Shard
    tiers: tuple[str, ...]
    op: Op
    declaration: Declaration

    @property
    def bounded(self) -> tuple[Tier, ...]:
        """Those of the tiers that a bound judges."""
        return tuple(TIERS[name] for name in self.tiers if TIERS[name].allowed is not None)

    def judged(self, rows: Rows, called: _Called) -> tuple[Cell, Iterator[Verdict]]:
        """Return the cell of the outputs, and its verdicts."""
        shard = self.shard
        key = CellKey(
            called.name, self.op.name, shard.format.name, shard.out_format.name, shard.regime, shard.length
        )
        tiers = tuple(TIERS[name] for name in self.tiers)
        tally = tally_outcome(key, rows, called.outcome, self.declaration, tiers, profiled=False)
        info = CellInfo(key, sampled=self.shard.sampled)
        cell = Cell(cell_row(info, tally, columns=CHEAP), tally)
        budgets = [
            budget
            for name in self.tiers
            for budget in of_tier(name, [called.name], [self.shard.format.name], None)
        ]
        return cell, judge_cell(cell, budgets)


@dataclass(frozen=True)
class _Called:
    """The outcome of calling a suspect on a batch."""

    name: str
    outcome: Outcome


def _together(called: Sequence[_Called]) -> _Called | None:
    """Return the outputs of all as those of the first, in turn; None where one lacks a row."""
    outputs = [one.outcome.outputs for one in called if not one.outcome.faults]
    whole = [y for y in outputs if y is not None]
    if len(whole) < len(called):
        return None
    y = np.concatenate(whole)
    return _Called(called[0].name, Outcome(y, np.ones(len(y), dtype=np.bool_)))
