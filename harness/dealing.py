"""Shards dealt to threads, and what each of them counted recorded as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

from harness.execution import Executor
from reports.ledger import Ledger
from reports.tally import CellKey, Tally

__all__ = ["deal"]

Tallies = Mapping[CellKey, Tally]


class _Named(Protocol):
    @property
    def id(self) -> str:
        """The shard's name in the ledger."""


Shard = TypeVar("Shard", bound=_Named)


def deal(
    shards: Iterable[Shard],
    measure: Callable[[Shard, Executor], Tallies],
    ledger: Ledger,
    executor: Executor,
    jobs: int,
    progress: Callable[[Shard, Tallies], None],
) -> None:
    """Measure every shard that the ledger lacks, `jobs` at a time, and record each as it ends.

    Args:
        shards: in the order in which they are begun.
        measure: a pure function of a shard, called from `jobs` threads at once.
        ledger: where the tallies go; written from this thread alone.
        executor: what `measure` is given; closed when the work is broken off.
        jobs: threads.
        progress: told of each shard when it is recorded.
    """
    finished = ledger.finished()
    waiting = (shard for shard in shards if shard.id not in finished)
    running: dict[Future[tuple[Tallies, float]], Shard] = {}
    with ThreadPoolExecutor(jobs, thread_name_prefix="shard") as pool:
        try:
            while True:
                while len(running) < 2 * jobs and (shard := next(waiting, None)) is not None:
                    running[pool.submit(_timed, measure, shard, executor)] = shard
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    shard, (tallies, seconds) = running.pop(future), future.result()
                    ledger.record(shard.id, tallies, seconds)
                    progress(shard, tallies)
        except BaseException:
            for future in running:
                future.cancel()
            executor.close()
            raise


def _timed(
    measure: Callable[[Shard, Executor], Tallies], shard: Shard, executor: Executor
) -> tuple[Tallies, float]:
    start = time.perf_counter()
    tallies = measure(shard, executor)
    return tallies, time.perf_counter() - start
