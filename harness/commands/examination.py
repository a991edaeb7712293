"""The last stage of a run: the checks of every candidate in every format, and the shrinking of witnesses.

The checks of a candidate in a format are recorded when they end; a resumed run does not repeat them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from harness.campaign.notices import print_untried
from harness.subject.candidates import Candidate
from harness.terminal.console import progress_bar
from harness.terminal.deadline import NEVER, Deadline
from reference.formats import FloatFormat

if TYPE_CHECKING:
    from rich.console import Console

    from harness.campaign.plan import Plan
    from harness.subject.execution import Executor
    from reports.record.ledger import Ledger

__all__ = ["examine", "unchecked"]


def examine(
    plan: Plan, ledger: Ledger, executor: Executor, console: Console, deadline: Deadline = NEVER
) -> None:
    """Record the documents `checks`, `small` and `shrunk` that the ledger lacks.

    Args:
        plan: of the candidates and formats.
        ledger: of the run.
        executor: calls the candidates.
        console: shows the progress.
        deadline: when it must have ended.

    Raises:
        OutOfTime: the deadline passed first; finished checks are kept.
    """
    from harness.campaign.processes import side_by_side
    from harness.witnesses.shrinking import keep_small, shrink_all

    executor.grant()
    _check(plan, ledger, executor, console, deadline)
    if ledger.get("shrunk") is None:
        deadline.check()
        executor.grant()
        named = {candidate.name: candidate for candidate in plan.candidates}
        small = shrink_all(
            ledger,
            named,
            executor,
            plan.settings.effort.reductions,
            rations=plan.rations,
            within=plan.settings.within,
            each=partial(side_by_side, jobs=plan.settings.jobs),
        )
        keep_small(ledger, small)
    print_untried(executor, console)


def unchecked(plan: Plan, ledger: Ledger) -> Iterator[tuple[Candidate, FloatFormat]]:
    """Yield the candidates and formats whose checks the ledger lacks."""
    checked = {(check["candidate"], check["format"]) for check in ledger.get("checks") or ()}
    for candidate in plan.candidates:
        for fmt in plan.settings.formats:
            if (candidate.name, fmt.name) not in checked:
                yield candidate, fmt


def _check(plan: Plan, ledger: Ledger, executor: Executor, console: Console, deadline: Deadline) -> None:
    from harness.checks import CHECKS, each_check

    settings = plan.settings
    left = list(unchecked(plan, ledger))
    with progress_bar(console) as bar:
        task = bar.add_task("checking", total=len(CHECKS) * len(left))
        for candidate, fmt in left:
            deadline.check()
            bar.update(task, description=f"checking {candidate.name} {fmt}")
            documents = []
            ration = plan.rations.get((candidate.name, fmt.name))
            for result in each_check(
                plan.subject(candidate, fmt, executor),
                settings.seed,
                settings.effort.extent,
                ration=ration,
                jobs=settings.jobs,
            ):
                deadline.check()
                documents.append(result.document())
                bar.advance(task)
            ledger.put("checks", [*(ledger.get("checks") or ()), *documents])
