"""The crews that can measure the tasks of a campaign: a cluster, processes of this machine, or threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from harness.campaign.deal import Crew, Threads
from harness.campaign.environment import here
from harness.campaign.processes import Processes, can_fork

if TYPE_CHECKING:
    from harness.campaign.campaign import Campaign
    from harness.campaign.tasks import Task
    from harness.subject.execution import Executor

__all__ = ["COPIED_SECONDS", "crew_of", "threads_of"]

COPIED_SECONDS: Final = 0.5
"""Where all is estimated to take no more than this, copies cost more processor time than they save."""


@contextmanager
def crew_of(campaign: Campaign, executor: Executor) -> Iterator[Crew[Task]]:
    """Yield the crew that the settings ask for; enter it before any thread starts.

    Raises:
        UsageError: there is no such cluster, or dask.distributed is not installed.
    """
    settings = campaign.settings
    if settings.cluster is not None:
        from harness.campaign.cluster import connected_crew

        with connected_crew(campaign) as crew:
            yield crew
        return
    if settings.jobs == 1 or not can_fork() or _is_short(campaign):
        yield threads_of(campaign, executor)
        return
    place = here(campaign.candidates)
    with closing(Processes(campaign.measure, executor, settings.jobs, place)) as processes:
        yield processes


def _is_short(campaign: Campaign) -> bool:
    seconds = 0.0
    for task in campaign.tasks():
        seconds += campaign.seconds(task)
        if seconds > COPIED_SECONDS:
            return False
    return True


def threads_of(campaign: Campaign, executor: Executor) -> Crew[Task]:
    """Return threads of this process, as many as the settings say."""
    return Threads(campaign.measure, executor, campaign.settings.jobs, here(campaign.candidates))
