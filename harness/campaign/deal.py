"""Shards dealt to a crew, and what each of them counted recorded as it ends.

A crew is whatever measures shards side by side: `Threads` of this process, or the workers of a
cluster. `deal` decides which shards are left, and writes the ledger, from the caller's thread alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from harness.campaign.environment import here
from harness.subject.execution import Executor
from harness.terminal.deadline import NEVER, Deadline
from harness.terminal.interrupts import ATTENTION_SECONDS
from reports.record.ledger import Place, packed
from reports.record.tally import Tally
from reports.record.witness import CellKey

__all__ = ["Crew", "Done", "Named", "Record", "Tallies", "Threads", "deal"]

Tallies = Mapping[CellKey, Tally]


class Named(Protocol):
    """What a ledger keeps under a name."""

    @property
    def id(self) -> str:
        """The shard's name in the ledger."""


Shard = TypeVar("Shard", bound=Named)


class Record(Protocol):
    """What keeps the tallies of shards; a `Ledger` does."""

    def finished(self) -> set[str]:
        """Return the names of the shards that are kept."""

    def record(self, shard: str, tallies: Mapping[CellKey, bytes], seconds: float, place: Place) -> None:
        """Keep what a shard counted, packed, and where."""


@dataclass(frozen=True)
class Done(Generic[Shard]):
    """A shard that is measured.

    Attributes:
        shard: which.
        tallies: what it counted, as the ledger holds it.
        told: the counts that progress is told of; more may be in them.
        seconds: how long it took.
        place: where.
    """

    shard: Shard
    tallies: Mapping[CellKey, bytes]
    told: Tallies
    seconds: float
    place: Place


class Crew(Protocol[Shard]):
    """Measures shards, several at once."""

    def wants(self) -> bool:
        """Whether it can do with a further shard now."""

    def give(self, shard: Shard) -> None:
        """Have a shard measured."""

    def ended(self) -> Iterator[Done[Shard]]:
        """Yield the shards that ended, after a wait of at most about `ATTENTION_SECONDS`.

        Raises:
            Exception: whatever went wrong in measuring one.
        """

    def dismiss(self) -> None:
        """Let go of it, now that nothing is under way and no further shard comes."""

    def abandon(self) -> None:
        """Stop at once; what is under way is lost."""


def deal(
    shards: Iterable[Shard],
    crew: Crew[Shard],
    ledger: Record,
    progress: Callable[[Shard, Tallies], None],
    deadline: Deadline = NEVER,
) -> None:
    """Have every shard measured that the ledger lacks, and record each as it ends.

    Args:
        shards: in the order in which they are begun.
        crew: measures them; abandoned when the work is broken off, by an interrupt or an error.
        ledger: where the tallies go.
        progress: told of each shard when it is recorded.
        deadline: when no further shard is begun; those under way are recorded if they end soon.

    Raises:
        OutOfTime: it came before the last shard.
    """
    finished = ledger.finished()
    waiting = (shard for shard in shards if shard.id not in finished)
    under_way = 0
    try:
        while True:
            while crew.wants() and not deadline.is_over and (shard := next(waiting, None)) is not None:
                crew.give(shard)
                under_way += 1
            if not under_way:
                break
            deadline.check_grace()
            for done in crew.ended():
                under_way -= 1
                ledger.record(done.shard.id, done.tallies, done.seconds, done.place)
                progress(done.shard, done.told)
        if next(waiting, None) is not None:
            deadline.check()
    except BaseException:
        crew.abandon()
        raise
    crew.dismiss()


class Threads(Generic[Shard]):
    """Threads of this process.

    Args:
        measure: a pure function of a shard, called from `jobs` threads at once.
        executor: what `measure` is given; closed when the work is broken off.
        jobs: how many threads.
        place: where this process runs, with the versions of the candidates' libraries.
    """

    def __init__(
        self,
        measure: Callable[[Shard, Executor], Tallies],
        executor: Executor,
        jobs: int,
        place: Place | None = None,
    ) -> None:
        self._measure = measure
        self._executor = executor
        self._place = place or here()
        self._most = 2 * jobs
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="shard")
        self._running: dict[Future[Done[Shard]], None] = {}

    def wants(self) -> bool:
        """See `Crew.wants`."""
        return len(self._running) < self._most

    def give(self, shard: Shard) -> None:
        """See `Crew.give`."""
        self._running[self._pool.submit(self._timed, shard)] = None

    def ended(self) -> Iterator[Done[Shard]]:
        """See `Crew.ended`."""
        done, _ = wait(self._running, timeout=ATTENTION_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            del self._running[future]
            yield future.result()

    def dismiss(self) -> None:
        """See `Crew.dismiss`."""
        self._pool.shutdown()

    def abandon(self) -> None:
        """See `Crew.abandon`; a thread in the midst of a computation is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._executor.close()

    def _timed(self, shard: Shard) -> Done[Shard]:
        start = time.perf_counter()
        held, told = self._measured(shard)
        return Done(shard, held, told, time.perf_counter() - start, self._place)

    def _measured(self, shard: Shard) -> tuple[Mapping[CellKey, bytes], Tallies]:
        """Return what a shard counted, packed and as it is."""
        tallies = self._measure(shard, self._executor)
        return {key: packed(tally) for key, tally in tallies.items()}, tallies
