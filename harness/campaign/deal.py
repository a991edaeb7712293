"""Deal tasks to a crew, and record the tallies of each as it ends.

A task is a part of a campaign or a proof that is measured at once: a shard, or a search. A crew measures
tasks side by side: `Threads` of this process, or the workers of a cluster. `deal` decides which tasks
remain and writes the ledger, both from the caller's thread alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from harness.campaign.environment import here
from harness.subject.execution import Executor
from harness.terminal.deadline import NEVER, Deadline
from harness.terminal.interrupts import ATTENTION_SECONDS
from reports.record.ledger import Ledger, Place, packed
from reports.record.tally import Tally
from reports.record.witness import CellKey

__all__ = ["Crew", "Done", "Measured", "Record", "Tallies", "Task", "Threads", "deal"]

Tallies = Mapping[CellKey, Tally]


class Named(Protocol):
    """A task with a name in the ledger."""

    @property
    def id(self) -> str:
        """The task's name in the ledger."""


Task = TypeVar("Task", bound=Named)


@dataclass(frozen=True)
class Measured:
    """The result of measuring a task.

    Attributes:
        tallies: by cell.
        document: what else the ledger keeps of the task, as JSON; None where nothing.
    """

    tallies: Tallies
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Done(Generic[Task]):
    """A task that is measured.

    Attributes:
        task: the task.
        tallies: as the ledger holds them.
        counts: for the progress display; the tallies before they were packed, or their counts alone.
        document: see `Measured`.
        seconds: how long it took.
        place: where it was measured.
        are_whole: whether `counts` are the tallies themselves.
    """

    task: Task
    tallies: Mapping[CellKey, bytes]
    counts: Tallies
    document: Mapping[str, Any] | None
    seconds: float
    place: Place
    are_whole: bool = False


class Record(Generic[Task]):
    """Keeps the tallies of tasks in a ledger.

    Args:
        ledger: written from one thread alone.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def finished(self) -> set[str]:
        """Return the names of the recorded tasks."""
        return self.ledger.finished()

    def keep(self, done: Done[Task]) -> None:
        """Record a task."""
        whole = done.counts if done.are_whole else {}
        self.ledger.record(done.task.id, done.tallies, done.seconds, done.place, whole)


class Crew(Protocol[Task]):
    """Measures tasks, several at once."""

    def wants(self) -> bool:
        """Return whether the crew can take another task now."""

    def give(self, task: Task) -> None:
        """Give the crew a task to measure."""

    def ended(self) -> Iterator[Done[Task]]:
        """Yield the tasks that ended, after a wait of at most about `ATTENTION_SECONDS`.

        Raises:
            Exception: measuring a task failed.
        """

    def dismiss(self) -> None:
        """End the crew after its last task."""

    def abandon(self) -> None:
        """End the crew at once; tasks in progress are lost."""


def deal(
    tasks: Iterable[Task],
    crew: Crew[Task],
    record: Record[Task],
    progress: Callable[[Task, Tallies], None],
    deadline: Deadline = NEVER,
) -> None:
    """Measure every task that the record lacks, and record each as it ends.

    Args:
        tasks: in the order in which they begin.
        crew: measures them; abandoned on an interrupt or an error.
        record: keeps the tallies.
        progress: called with each task when it is recorded.
        deadline: after it no task begins; tasks in progress are recorded if they end soon.

    Raises:
        OutOfTime: the deadline passed before the last task ended.
    """
    finished = record.finished()
    waiting = (task for task in tasks if task.id not in finished)
    under_way = 0
    try:
        while True:
            while crew.wants() and not deadline.is_over and (task := next(waiting, None)) is not None:
                crew.give(task)
                under_way += 1
            if not under_way:
                break
            deadline.check_grace()
            for done in crew.ended():
                under_way -= 1
                record.keep(done)
                progress(done.task, done.counts)
        if next(waiting, None) is not None:
            deadline.check()
    except BaseException:
        crew.abandon()
        raise
    crew.dismiss()


class Threads(Generic[Task]):
    """Threads of this process.

    Args:
        measure: a pure function of a task, called from `jobs` threads at once.
        executor: passed to `measure`; closed when the work is abandoned.
        jobs: the number of threads.
        place: where this process runs, with the versions of the candidates' libraries.
    """

    def __init__(
        self,
        measure: Callable[[Task, Executor], Measured],
        executor: Executor,
        jobs: int,
        place: Place | None = None,
    ) -> None:
        self._measure = measure
        self._executor = executor
        self._place = place or here()
        self._most = 2 * jobs
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="task")
        self._running: dict[Future[Done[Task]], None] = {}

    def wants(self) -> bool:
        """See `Crew.wants`."""
        return len(self._running) < self._most

    def give(self, task: Task) -> None:
        """See `Crew.give`."""
        self._running[self._pool.submit(self._timed, task)] = None

    def ended(self) -> Iterator[Done[Task]]:
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

    def _timed(self, task: Task) -> Done[Task]:
        start = time.perf_counter()
        held, measured = self._measured(task)
        seconds = time.perf_counter() - start
        return Done(task, held, measured.tallies, measured.document, seconds, self._place, are_whole=True)

    def _measured(self, task: Task) -> tuple[Mapping[CellKey, bytes], Measured]:
        """Return what a task counted, packed and as it is."""
        measured = self._measure(task, self._executor)
        return {key: packed(tally) for key, tally in measured.tallies.items()}, measured
