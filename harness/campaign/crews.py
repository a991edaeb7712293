"""The crews that can measure the tasks of a campaign: a cluster, processes of this machine, or threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from harness.campaign.deal import Crew, Threads
from harness.campaign.environment import here
from harness.campaign.processes import Processes, can_fork

if TYPE_CHECKING:
    from harness.campaign.plan import Plan
    from harness.campaign.schedule import Schedule
    from harness.campaign.tasks import Task
    from harness.subject.execution import Executor

__all__ = ["COPIED_SECONDS", "crew_of", "threads_of"]

COPIED_SECONDS: Final = 0.5
"""Where all is estimated to take no more than this, copies cost more processor time than they save."""


@contextmanager
def crew_of(schedule: Schedule, executor: Executor) -> Iterator[Crew[Task]]:
    """Yield the crew that the settings ask for; enter it before any thread starts.

    Raises:
        UsageError: there is no such cluster, or dask.distributed is not installed.
    """
    from harness.campaign.campaign import Campaign

    plan, settings = schedule.plan, schedule.plan.settings
    if settings.cluster is not None:
        from harness.campaign.cluster import connected_crew

        with connected_crew(plan) as crew:
            yield crew
        return
    if settings.jobs == 1 or not can_fork() or _is_short(schedule):
        yield threads_of(plan, executor)
        return
    place = here(plan.candidates)
    with closing(Processes(Campaign(plan).measure, executor, settings.jobs, place)) as processes:
        yield processes


def _is_short(schedule: Schedule) -> bool:
    seconds = 0.0
    for task in schedule.plan.tasks():
        seconds += schedule.seconds(task)
        if seconds > COPIED_SECONDS:
            return False
    return True


def threads_of(plan: Plan, executor: Executor) -> Crew[Task]:
    """Return threads of this process, as many as the settings say."""
    from harness.campaign.campaign import Campaign

    return Threads(Campaign(plan).measure, executor, plan.settings.jobs, here(plan.candidates))
