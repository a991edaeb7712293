"""Campaigns on many machines: tasks measured by the workers of a dask.distributed cluster.

    with connected_crew(plan) as crew:
        Campaign(plan).run(ledger, executor, progress, crew)

The ledger, its folder and the reports stay where the campaign was started. A dask worker is given a
task and what `work` packs of the campaign; it calls candidates in isolated processes of its own,
exactly as a campaign on one machine does, so that no candidate can take it down. `work` is what runs
there, `crew` what runs here. A task whose dask worker is lost is measured by another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.campaign.deal import Crew

if TYPE_CHECKING:
    from harness.campaign.plan import Plan
    from harness.campaign.tasks import Task

__all__ = ["connected_crew"]


@contextmanager
def connected_crew(plan: Plan) -> Iterator[Crew[Task]]:
    """Open the cluster that the settings name.

    Raises:
        UsageError: there is no such cluster, or dask.distributed is not installed.
    """
    from harness.campaign.cluster.connection import connected
    from harness.campaign.cluster.crew import Cluster

    settings = plan.settings
    assert settings.cluster is not None
    with connected(settings.cluster, settings.jobs) as client:
        yield Cluster(client, plan)
