"""Campaigns on many machines: shards measured by the workers of a dask.distributed cluster.

    with crew_of(campaign) as crew:
        campaign.run(ledger, executor, progress, crew)

The ledger, its folder and the reports stay where the campaign was started. A dask worker is given a
shard and what `work` packs of the campaign; it calls candidates in isolated processes of its own,
exactly as a campaign on one machine does, so that no candidate can take it down. `work` is what runs
there, `crew` what runs here. A shard whose dask worker is lost is measured by another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.dealing import Crew

if TYPE_CHECKING:
    from harness.campaign import Campaign, Shard

__all__ = ["crew_of"]


@contextmanager
def crew_of(campaign: Campaign) -> Iterator[Crew[Shard] | None]:
    """Open the cluster that the settings ask for; None where they ask for none.

    Raises:
        UsageError: there is no such cluster, or dask.distributed is not installed.
    """
    settings = campaign.settings
    if settings.cluster is None:
        yield None
        return
    from harness.cluster.connection import connected
    from harness.cluster.crew import Cluster

    with connected(settings.cluster, settings.jobs) as client:
        yield Cluster(client, campaign)
