"""What a shard of a campaign costs a worker, and what it costs the process that collects them.

    python -m tests.benchmarks.cluster_limits [--effort standard] [--every 60] [--tasks 500]

Prints the figures of `docs/many-machines.md`: of every 60th shard of the default campaign, of two built-ins
in three formats. Times are processor times, the candidate's included, which is called in this process; the
part of dask is that of a process in which client and scheduler run, over loopback.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mean

from harness.campaign.campaign import Campaign
from harness.campaign.cluster.work import packed_work
from harness.campaign.plan import Plan
from harness.campaign.settings import resolve
from harness.campaign.tasks import Shard
from harness.subject.execution import Executor, InProcess
from reference.certified import prepare
from reports.record.ledger import Ledger, packed

__all__ = ["Costs", "costs_of", "main", "seconds_a_task"]

TASK_BYTES = 19_000


@dataclass(frozen=True)
class Costs:
    """What one shard costs: seconds to measure it, bytes there and back, seconds to commit it."""

    measuring: float
    sent: int
    returned: int
    committing: float


def costs_of(plan: Plan, shards: Iterator[Shard], executor: Executor) -> Iterator[Costs]:
    """Yield what each of the shards costs."""
    work = len(packed_work(plan))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        with Ledger.create(path, plan.settings.identity(), list(plan.cells())) as ledger:
            for shard in shards:
                start = time.process_time()
                tallies = Campaign(plan).measure(shard, executor).tallies
                held = {cell: packed(tally) for cell, tally in tallies.items()}
                measured = time.process_time()
                returned = pickle.dumps(held)
                sent = work + len(pickle.dumps(shard))
                received = time.process_time()
                ledger.record(shard.id, pickle.loads(returned), 0.0)  # noqa: S301 - made three lines above
                committing = time.process_time() - received
                yield Costs(measured - start, sent, len(returned), committing)


def seconds_a_task(tasks: int) -> float:
    """Return the processor time that handing out a task and fetching its bytes takes client and scheduler."""
    from distributed import Client, LocalCluster, as_completed

    local = LocalCluster(
        n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None
    )  # its worker is a process of its own
    with local as cluster, Client(cluster, set_as_default=False) as client:
        client.gather(client.map(bytes, [TASK_BYTES] * 20, pure=False))
        start = time.process_time()
        futures = client.map(bytes, [TASK_BYTES] * tasks, pure=False)
        for future, _ in as_completed(futures, loop=client.loop, with_results=True):
            future.release()
        return (time.process_time() - start) / tasks


def main() -> None:
    """Print the table of an effort."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--effort", default="standard")
    parser.add_argument("--every", type=int, default=60, help="measure every so manieth shard")
    parser.add_argument("--tasks", type=int, default=500, help="tasks that dask hands out")
    asked = parser.parse_args()
    prepare()
    plan = Plan.of(resolve({"effort": asked.effort, "jobs": 1}))
    with InProcess() as executor:
        warm = next(plan.shards())
        Campaign(plan).measure(warm, executor)
        costs = list(costs_of(plan, islice(plan.shards(), 0, None, asked.every), executor))
    dask = seconds_a_task(asked.tasks)
    centre = mean(c.committing for c in costs) + dask
    for name, figure in {
        f"shards, {asked.effort}": sum(1 for _ in plan.shards()),
        "measured of them": len(costs),
        "worker: to measure one, ms": 1e3 * mean(c.measuring for c in costs),
        "sent to the worker, bytes": mean(c.sent for c in costs),
        "sent back, bytes": mean(c.returned for c in costs),
        "here: to unpack and commit it, ms": 1e3 * mean(c.committing for c in costs),
        "dask: to hand out a task and fetch it, ms": 1e3 * dask,
        "shards a second at the centre": 1 / centre,
        "workers that keep the centre busy": mean(c.measuring for c in costs) / centre,
    }.items():
        told = f"{figure:10.3g}" if isinstance(figure, float) else f"{figure:10,}"
        sys.stdout.write(f"{name:45} {told}\n")


if __name__ == "__main__":
    main()
