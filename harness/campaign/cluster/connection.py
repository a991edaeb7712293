"""A connection to a cluster: one that runs, or one started here for as long as it is needed."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from harness.campaign.settings import LOCAL_CLUSTER
from harness.terminal.console import notes
from harness.terminal.exceptions import UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected"]

CONNECT_SECONDS: Final = 10
WORKERS_SECONDS: Final = 60
CLOSE_SECONDS: Final = 10
HURRIED_SECONDS: Final = 1


@contextmanager
def connected(address: str, jobs: int) -> Iterator[Client]:
    """Connect to a scheduler that has at least one worker.

    Args:
        address: the scheduler's, or `local` for one started here.
        jobs: workers of a local one.

    Raises:
        UsageError: there is no scheduler, no worker, or no dask.distributed.
    """
    _require()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said here
    with _local(jobs) if address == LOCAL_CLUSTER else _running(address) as client:
        _await_workers(client, address)
        yield client


def _require() -> None:
    try:
        import distributed  # noqa: F401 - whether it is there
    except ImportError as error:
        raise UsageError(
            f"cluster: dask.distributed is missing ({error}); pip install 'softmax-harness[cluster]'"
        ) from None


@contextmanager
def _running(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cluster {address}: no scheduler answers within {CONNECT_SECONDS} s"
            f" ({type(error).__name__}); start one: dask scheduler"
        ) from None
    with _closing(client):
        yield client


@contextmanager
def _local(jobs: int) -> Iterator[Client]:
    from distributed import Client, LocalCluster

    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the workers inherit it: Ctrl-C is the campaign's
    try:
        cluster: Any = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,  # the candidates are not within these processes
            preload=["harness.campaign.cluster.work"],
        )
    finally:
        signal.signal(signal.SIGINT, heard)
    client = Client(cluster, timeout=CONNECT_SECONDS, set_as_default=False)
    with _closing(client):
        yield client
    with suppress(Exception):  # where this fails or takes too long, its processes end with this one
        cluster.close(timeout=CLOSE_SECONDS)


@contextmanager
def _closing(client: Client) -> Iterator[None]:
    try:
        yield
    except BaseException:  # an interrupt is not kept waiting
        with suppress(Exception):
            client.close(timeout=HURRIED_SECONDS)
        raise
    with suppress(Exception):
        client.close(timeout=CLOSE_SECONDS)


def _await_workers(client: Client, address: str) -> None:
    if client.nthreads():
        return
    notes().print(f"cluster {address}: waiting for workers ...")
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise UsageError(
            f"cluster {address}: no worker joined within {WORKERS_SECONDS} s; "
            f"start some: dask worker {address}"
        ) from None
