"""The time of a campaign: rations with which it ends in time, and estimates of what its parts take.

Speeds are measured once, before the first task. They decide the rations; the estimates change no row and no
figure. The arithmetic of a ration is in `harness.subject.rations`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from harness.campaign.plan import Plan
from harness.campaign.tasks import Search, Task
from harness.subject.candidates import Candidate
from harness.subject.execution import Executor
from harness.subject.rations import (
    FINE,
    ORDINARY,
    OWN,
    SHARED,
    Group,
    Load,
    Ration,
    Rations,
    Speed,
    Times,
    divided,
    measured,
    own_costs,
    ration_of,
)
from reference.formats import FORMATS, FloatFormat
from reports.figures import plural, seconds

__all__ = ["LeftOut", "Schedule"]

Told = Mapping[tuple[str, str], Times]
"""What calls take, by the names of candidates and formats."""

CELLS_SHARE: Final = 3 / 4
"""Of the time of a candidate that is not given all rows: it goes into the cells, the rest into the checks."""

CHECKS_SHARE: Final = 1 / 5
"""What the checks of such a candidate take, of the time of its cells: each may take a sixtieth."""


@dataclass(frozen=True)
class LeftOut:
    """The rows of the plan that a candidate is not given in one format.

    Attributes:
        ration: the reason.
        rows: how many rows the plan has; kept: how many it is given.
        longest: length of the longest row that it is given.
        missing: cells at the lengths of the effort, or of the user, without a row.
        shortest_missing: the least length of these cells; 0 where none is missing.
    """

    ration: Ration
    rows: int
    kept: int
    longest: int
    missing: int
    shortest_missing: int

    @classmethod
    def of(cls, ration: Ration, groups: Sequence[Group]) -> Self:
        """Return what a ration leaves out of cells."""
        given = [(group, ration.rows(group)) for group in groups]
        missing = [group.length for group, rows in given if not rows and group.kind != "further"]
        return cls(
            ration,
            sum(group.rows for group in groups),
            sum(rows for _, rows in given),
            max((group.length for group, rows in given if rows), default=0),
            len(missing),
            min(missing, default=0),
        )

    def line(self) -> str:
        """Return a sentence on what is left out."""
        speed = self.ration.speed
        why = f"{speed.told()}, so " if speed.is_slow else ""
        when = "in time" if self.ration.own else f"in about {seconds(self.ration.target)}"
        if not self.kept:
            return (
                f"{why}none of {plural(self.rows, 'row')} can be measured to end {when};"
                " --max-time SECONDS sets a longer time"
            )
        return (
            f"{why}{self.kept:,} of {plural(self.rows, 'row')} are measured, of up to"
            f" {plural(self.longest, 'entry')}, to end {when};"
            " --max-time SECONDS sets another time"
        )


@dataclass(frozen=True)
class Schedule:
    """A plan, and how long its tasks and checks take.

    Attributes:
        plan: with the rations that make it end in time.
        times: what calls were measured to take; empty where none was.
    """

    plan: Plan
    times: Told = field(default_factory=dict)

    @classmethod
    def rationed(cls, plan: Plan, executor: Executor, checks: Load) -> Self:
        """Return the schedule of a plan in which a candidate that would take too long is given fewer rows.

        Args:
            plan: with all rows.
            executor: calls the candidates, to tell their speed.
            checks: what the checks of a candidate in a format cost.
        """
        settings = plan.settings
        is_timed = settings.max_time is not None
        if not is_timed and math.isinf(settings.slow_seconds):
            return cls(plan)
        told = {
            (c.name, fmt.name): measured(plan.subject(c, fmt, executor), finely=is_timed)
            for c in plan.candidates
            for fmt in plan.measured_formats(c)
        }
        rations = _in_time(plan, told, checks) if is_timed else _of_the_slow(plan, told)
        return cls(replace(plan, rations=rations), told)

    def left_out(self, candidate: Candidate, fmt: FloatFormat) -> LeftOut | None:
        """Return what is left out of a candidate's rows of a format; None where nothing is."""
        ration = self.plan.rations.get((candidate.name, fmt.name))
        return None if ration is None else LeftOut.of(ration, list(self.plan.workload.groups(fmt)))

    def seconds(self, task: Task) -> float:
        """Return about how long a shard or a search takes, for the time that the run still needs."""
        plan = self.plan
        if isinstance(task, Search):
            searcher = plan.named(task.candidate)
            return self._seconds_of(searcher, task.format, task.evaluations, task.length)
        batches = list(task.batches())
        given = [
            (c, sum(min(count, plan.given_of(c, task, number)) for number, count in batches))
            for c in plan.measured_candidates(task.format)
        ]
        shared = SHARED * OWN.seconds(max((rows for _, rows in given), default=0), task.length)
        return shared + sum(self._seconds_of(c, task.format, rows, task.length) for c, rows in given)

    def checking_seconds(self, candidate: Candidate, fmt: FloatFormat, checks: Load) -> float:
        """Return about how long the checks of a candidate take, which together cost what `checks` says."""
        if fmt not in self.plan.measured_formats(candidate):
            return 0.0
        whole = checks.seconds(self._speed(candidate, fmt))
        ration = self.plan.rations.get((candidate.name, fmt.name))
        return min(whole, checks.own + CHECKS_SHARE * ration.target) if ration else whole

    def _seconds_of(self, candidate: Candidate, fmt: FloatFormat, rows: int, length: int) -> float:
        if not rows:
            return 0.0
        return self._speed(candidate, fmt).seconds(rows, length) + (1 - SHARED) * OWN.seconds(rows, length)

    def _speed(self, candidate: Candidate, fmt: FloatFormat) -> Speed | Times:
        pair, rations = (candidate.name, fmt.name), self.plan.rations
        if pair in self.times:
            return self.times[pair]
        return rations[pair].speed if pair in rations else ORDINARY


def _of_the_slow(plan: Plan, told: Told) -> Rations:
    """Return the rations with which no candidate takes longer in a format than the effort lets it."""
    given = {
        (name, fmt): ration_of(times.speed(), plan.workload.groups(FORMATS[fmt]), plan.settings.slow_seconds)
        for (name, fmt), times in told.items()
    }
    return {pair: ration for pair, ration in given.items() if ration is not None}


def _in_time(plan: Plan, told: Told, checks: Load) -> Rations:
    """Return the rations with which cells and checks end in the time that is set.

    Where all rows need more than that, each candidate and format gets the same time, or what it needs.
    """
    sharing = Counter(fmt for _, fmt in told)
    planned = {name: list(plan.workload.groups(FORMATS[name])) for name in sharing}
    costs = {name: own_costs(candidates) for name, candidates in sharing.items()}
    needs = {
        (name, fmt): checks.seconds(times)
        + sum(costs[fmt].seconds(*group[:2]) + times.seconds(*group[:2]) for group in planned[fmt])
        for (name, fmt), times in told.items()
    }
    parts = divided(list(needs.values()), plan.settings.processor_seconds)
    rations = {}
    for (pair, need), part in zip(needs.items(), parts, strict=True):
        fmt, target = pair[1], part * CELLS_SHARE
        speed = told[pair].speed(FINE)
        if part < need and (given := ration_of(speed, planned[fmt], target, costs[fmt])):
            rations[pair] = given
    return rations
