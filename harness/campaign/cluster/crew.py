"""The crew that a cluster is: tasks are submitted, results collected, lost tasks submitted again.

The main thread never waits for the network: a thread of the crew's own fetches results in bulk, so
that Ctrl-C is heard, and so that one slow transfer holds up no commit.
"""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from harness.campaign.cluster.work import Refused, measure, packed_work
from harness.campaign.deal import Done
from harness.campaign.plan import Plan
from harness.campaign.tasks import Task
from harness.terminal.console import notes
from harness.terminal.exceptions import HarnessError, NoVerdict, UsageError
from harness.terminal.interrupts import ATTENTION_SECONDS

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster"]

TASKS_A_THREAD: Final = 3
"""Tasks submitted for each thread of the cluster: one is measured, and the others wait on the worker."""

MOST_KILLED: Final = 3
"""How often to submit a task again when dask gives up on it after several lost workers."""

COUNT_SECONDS: Final = 2.0
LOST_SECONDS: Final = 20.0

KEPT: Final = "what was recorded is kept; go on with --resume"


@dataclass(frozen=True)
class _Submitted:
    """A submitted task with its future, without which dask forgets the task."""

    task: Task
    future: Future
    times: int


class Cluster:
    """The workers of a dask.distributed cluster, as a `Crew`."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client = client
        self._work = packed_work(plan)
        self._inputs = plan.settings.inputs
        self._name = f"softmax-harness-{uuid.uuid4().hex[:8]}"
        self._submitted: dict[str, _Submitted] = {}
        self._settled: SimpleQueue[Any] = SimpleQueue()
        self._fetched: SimpleQueue[tuple[str, Done[Task] | BaseException]] = SimpleQueue()
        self._threads: int = sum(client.nthreads().values())
        self._seen = time.monotonic()
        self._over = threading.Event()
        self._waiting = False
        for work in (self._fetch, self._count):
            threading.Thread(target=work, name="cluster", daemon=True).start()

    def wants(self) -> bool:
        """See `Crew.wants`."""
        return len(self._submitted) < max(1, TASKS_A_THREAD * self._threads)

    def give(self, task: Task) -> None:
        """See `Crew.give`."""
        self._submit(task, 1)

    def _submit(self, task: Task, times: int) -> None:
        key = f"{self._name}-{task.id}-{times}"
        inputs = self._inputs if task.regime == "input" else None
        future = self._client.submit(measure, self._work, task, inputs, key=key, pure=False)
        self._submitted[key] = _Submitted(task, future, times)
        future.add_done_callback(self._settled.put)

    def ended(self) -> Iterator[Done[Task]]:
        """See `Crew.ended`.

        Raises:
            UsageError: a worker cannot take part.
            NoVerdict: the scheduler is lost, a task loses its workers, or measuring it fails.
        """
        wait = ATTENTION_SECONDS
        while True:
            try:
                key, result = self._fetched.get(timeout=wait)
            except Empty:
                self._check_losses()
                return
            given = self._submitted.pop(key)
            if isinstance(result, Done):
                yield result
            else:
                self._answer(given, result)
            wait = 0.0

    def dismiss(self) -> None:
        """See `Crew.dismiss`."""
        self._over.set()

    def abandon(self) -> None:
        """See `Crew.abandon`; the scheduler drops what a client that leaves has asked for."""
        self._over.set()

    # Losses ----------------------------------------------------------------------------------

    def _answer(self, given: _Submitted, error: BaseException) -> None:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker) and given.times < MOST_KILLED:
            self._submit(given.task, given.times + 1)
            return
        raise _explained(given.task, error) from error

    def _check_losses(self) -> None:
        """Print once that no worker is left; raise where the scheduler does not answer."""
        if time.monotonic() - self._seen > LOST_SECONDS:
            raise NoVerdict(f"cluster: the scheduler no longer answers; {KEPT}")
        if not self._threads and not self._waiting:
            notes().print("cluster: no worker is left; waiting for one to join ...")
        self._waiting = not self._threads

    # Threads of its own ------------------------------------------------------------------------

    def _fetch(self) -> None:
        """Fetch the results of settled tasks, all at once."""
        while not self._over.is_set():
            try:
                futures = [self._settled.get(timeout=1.0)]
            except Empty:
                continue
            while not self._settled.empty():
                futures.append(self._settled.get())
            for future, result in zip(futures, self._results(futures), strict=True):
                self._fetched.put((future.key, result))

    def _results(self, futures: list[Any]) -> list[Any]:
        with suppress(Exception):  # found out below, one by one
            if all(future.status == "finished" for future in futures):
                return list(self._client.gather(futures))
        return [_result(future) for future in futures]

    def _count(self) -> None:
        """Count the cluster's threads now and then, as workers come and go."""
        while not self._over.wait(COUNT_SECONDS):
            try:
                self._threads = sum(self._client.nthreads().values())
                self._seen = time.monotonic()
            except Exception:  # noqa: BLE001, S112 - raised below if it lasts
                continue


def _result(future: Any) -> Done[Task] | BaseException:
    try:
        done: Done[Task] = future.result()
    except BaseException as error:  # noqa: BLE001 - raised by the main thread
        return error
    return done


def _explained(task: Task, error: BaseException) -> HarnessError:
    from distributed import KilledWorker

    if isinstance(error, Refused):
        return UsageError(f"cluster: {error}")
    if isinstance(error, KilledWorker):
        return NoVerdict(
            f"cluster: shard {task.id}: dask gave it up {MOST_KILLED} times, each time after several workers"
            f" died with it; see the workers' logs; {KEPT}"
        )
    if isinstance(error, ModuleNotFoundError | pickle.UnpicklingError | AttributeError):
        return UsageError(
            f"cluster: a worker cannot unpack a task ({error}); install the same softmax-harness on each"
        )
    message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return NoVerdict(f"cluster: shard {task.id}: {message}; {KEPT}")
