"""One group of suspects through the gate: its rows, its tiers, its contract, its verdicts.

Everything that judges is the gate's own. What is saved is time: rows and their truth are made once for all
suspects of a format, outputs of many are judged at once, rows that tell most come first, and whoever fails
is not examined further, as the gate fails by any one failing verdict. What is dear and seldom tells comes
last: the contract is asked briefly before it is asked as the gate asks it, and a crowd and the lengths that
the seed draws follow the others. Each stage has the suspect in a fresh state. Who fails in none has seen all
that the gate shows, except where only what is near was wanted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from harness.campaign.campaign import Batch, Campaign
from harness.campaign.settings import BRIEF, Effort, Settings
from harness.campaign.tasks import BATCH_ELEMENTS, Shard
from harness.checks import each_check
from harness.checks.contract import CONTRACT
from harness.gate import of_tier
from harness.gate.judgement import judge_cell, judge_check
from harness.gate.measuring import GATE, Cell, gate_settings
from harness.measurement import Rows
from harness.measurement.outcomes import tally_outcome
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor, InProcess, Outcome
from harness.subject.subject import Subject
from reference.declaration import Declaration
from reference.formats import FloatFormat
from reference.tiers import STANDARD, TIERS
from reports.record.cells import CHEAP, cell_row
from reports.record.ledger import CellInfo
from reports.record.verdicts import FAILED, Verdict
from strategies.regimes.crowd import CROWD

__all__ = ["Suspect", "first_failures"]

TELLING: Final = 100
"""The length whose rows come first, then those next to it by their logarithms."""


@dataclass(frozen=True)
class Suspect:
    """Who is examined.

    Attributes:
        name: no two alike.
        make: to a candidate of that name and spec, in a fresh state.
        tier: to what it is held.
        strict: whether a verdict that is none, such as that nothing was measured, counts as a failure.
        checks_first: whether the contract is asked before the cells.
        near: whether a brief contract is enough, with no crowd and none of the lengths that the seed draws.
    """

    name: str
    make: Callable[[], Candidate]
    tier: str
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
        suspects: whom to examine.
        fmt: in which format.
        effort: how many rows; the gate's own.
        settled: told how many more have failed.
    """
    return _Trial(suspects, fmt, effort, settled).failures()


class _Trial:
    def __init__(
        self, suspects: Sequence[Suspect], fmt: FloatFormat, effort: Effort, settled: Callable[[int], None]
    ) -> None:
        self._suspects = {suspect.name: suspect for suspect in suspects}
        self._format = fmt
        self._settled = settled
        tiers = tuple({suspect.tier for suspect in suspects})
        self._settings = gate_settings(Settings(tuple(self._suspects), (fmt,), effort=effort), tiers)
        self._campaign = Campaign(self._settings, ())
        self._found: dict[str, Verdict] = {}

    def failures(self) -> dict[str, Verdict]:
        """Examine the suspects by stages, the dearest last, each of those who have not failed."""
        near, far = self._shards()
        extent = self._settings.effort.extent
        self._ask(BRIEF.extent, lambda suspect: suspect.checks_first)
        self._look(near, lambda _: True)
        self._ask(BRIEF.extent, lambda suspect: not suspect.checks_first)
        if extent != BRIEF.extent:
            self._ask(extent, lambda suspect: not suspect.near and suspect.checks_first)
        self._look(far, lambda suspect: not suspect.near)
        if extent != BRIEF.extent:
            self._ask(extent, lambda suspect: not suspect.near and not suspect.checks_first)
        return self._found

    def _shards(self) -> tuple[list[Shard], list[Shard]]:
        """Return what all are shown, and what only those are who are not near; what tells most is first."""
        effort = replace(self._settings.effort, drawn=None, crowd=0)
        near = set(Campaign(replace(self._settings, effort=effort), ()).shards())
        every = sorted(self._campaign.shards(), key=_telling)
        return [shard for shard in every if shard in near], [shard for shard in every if shard not in near]

    def _left(self, wanted: Wanted) -> dict[str, Candidate]:
        """Return those wanted who have not failed, by name, each in a fresh state."""
        return {
            name: suspect.make()
            for name, suspect in self._suspects.items()
            if name not in self._found and wanted(suspect)
        }

    def _note(self, verdicts: Iterator[Verdict]) -> None:
        """Keep the first verdict that fails its suspect."""
        for verdict in verdicts:
            strict = self._suspects[verdict.candidate].strict
            if verdict.status != "pass" and (strict or verdict.status in FAILED):
                self._found[verdict.candidate] = verdict
                self._settled(1)
                return

    # The contract --------------------------------------------------------------------------

    def _ask(self, extent: str, wanted: Wanted) -> None:
        candidates = self._left(wanted)
        with InProcess(load=candidates.__getitem__) as executor:
            for candidate in candidates.values():
                self._note(self._contract(candidate, executor, extent))

    def _contract(self, candidate: Candidate, executor: Executor, extent: str) -> Iterator[Verdict]:
        subject = Subject(candidate, self._format, self._format, executor)
        for result in each_check(subject, self._settings.seed, extent, checks=CONTRACT, floors=()):
            yield from judge_check(result)

    # Cells ---------------------------------------------------------------------------------

    def _look(self, shards: Sequence[Shard], wanted: Wanted) -> None:
        candidates = self._left(wanted)
        with InProcess(load=candidates.__getitem__) as executor:
            for shard in shards:
                for batch in self._campaign.batches(shard):
                    left = [c for name, c in candidates.items() if name not in self._found]
                    if not left:
                        return
                    room = max(1, BATCH_ELEMENTS // batch.x.size)
                    for some in _alike(shard, left, self._suspects, room):
                        self._judge(shard, batch, executor, some)

    def _judge(self, shard: Shard, batch: Batch, executor: Executor, alike: _Alike) -> None:
        """Judge the outputs of a batch, of several suspects at once."""
        outcomes = {c.name: executor.run(c.spec, batch.x, shard.out_format) for c in alike.candidates}
        held = _Held(shard, alike.tier, alike.declaration)
        for part, rows in batch.parts():
            called = [_Called(n, out.of(part)) for n, out in outcomes.items() if n not in self._found]
            if called:
                self._judge_together(held, rows, called)

    def _judge_together(self, held: _Held, rows: Rows, called: Sequence[_Called]) -> None:
        """Judge outputs as if one suspect had made them all, and each half of them where that fails.

        A tier's clauses and the defects are counts, and ratios greatest ones: where nothing is excused and
        nothing found in all of them together, there is nothing in any.
        """
        if len(called) == 1:
            self._note(held.judged(rows, called[0])[1])
            return
        if (together := _together(called)) is not None:
            repeated = rows.repeated(len(called), (STANDARD, TIERS[held.tier]))
            cell, verdicts = held.judged(repeated, together)
            if not cell.tally.excused and all(verdict.status == "pass" for verdict in verdicts):
                return
        half = len(called) // 2
        self._judge_together(held, rows, called[:half])
        self._judge_together(held, rows, called[half:])


def _telling(shard: Shard) -> tuple[bool, float]:
    return shard.regime == CROWD, abs(math.log(shard.length / TELLING))


@dataclass(frozen=True)
class _Alike:
    """Suspects that are held to the same, few enough for their outputs to be judged at once."""

    tier: str
    declaration: Declaration
    candidates: Sequence[Candidate]


def _alike(
    shard: Shard, left: Sequence[Candidate], suspects: Mapping[str, Suspect], room: int
) -> Iterator[_Alike]:
    held: dict[tuple[str, Declaration], list[Candidate]] = defaultdict(list)
    for candidate in left:
        held[suspects[candidate.name].tier, candidate.declared(shard.format)].append(candidate)
    for (tier, declaration), some in held.items():
        yield from (_Alike(tier, declaration, some[i : i + room]) for i in range(0, len(some), room))


@dataclass(frozen=True)
class _Held:
    """To what outputs of a shard's rows are held."""

    shard: Shard
    tier: str
    declaration: Declaration

    def judged(self, rows: Rows, called: _Called) -> tuple[Cell, Iterator[Verdict]]:
        """Return what was counted, and the verdicts on it."""
        key = self.shard.cell(called.name)
        tiers = (TIERS[self.tier],)
        tally = tally_outcome(key, rows, called.outcome, self.declaration, tiers, profiled=False)
        info = CellInfo(key, sampled=self.shard.sampled)
        cell = Cell(cell_row(info, tally, columns=CHEAP), tally)
        budgets = of_tier(self.tier, [called.name], [self.shard.format.name], None)
        return cell, judge_cell(cell, budgets)


@dataclass(frozen=True)
class _Called:
    """What came of calling a suspect on a batch."""

    name: str
    outcome: Outcome


def _together(called: Sequence[_Called]) -> _Called | None:
    """Return the outputs of several as those of the first, batch after batch; None where any lacks a row."""
    outputs = [one.outcome.outputs for one in called if not one.outcome.faults]
    whole = [y for y in outputs if y is not None]
    if len(whole) < len(called):
        return None
    y = np.concatenate(whole)
    return _Called(called[0].name, Outcome(y, np.ones(len(y), dtype=np.bool_)))
