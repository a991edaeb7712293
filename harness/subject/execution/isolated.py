"""The executor that calls each candidate in processes of its own, so that no candidate can harm it."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.allowance import FIRST_SECONDS, MOST_FOR_A_CRASH, Allowance, summaries
from harness.subject.execution.attempts import Attempt, Failure, Part
from harness.subject.execution.calls import Presentation, keep_freed_memory, name_of, outputs_shape
from harness.subject.execution.culprits import complete
from harness.subject.execution.fork_server import servers
from harness.subject.execution.outcome import Closing, Fault, Outcome, check_rows
from harness.subject.execution.process import Worker, WorkerLost
from harness.terminal.deadline import NEVER, Deadline, OutOfTime
from harness.terminal.exceptions import NoVerdict
from harness.terminal.interrupts import ATTENTION_SECONDS
from reference.formats import FloatFormat

__all__ = ["ExecutorClosed", "Isolated", "SourceReplaced"]

Array = NDArray[Any]

LOAD_SECONDS: Final = 120.0
LOAD_ATTEMPTS: Final = 2
TIMEOUT_SECONDS: Final = 60.0
MANY_PER_JOB: Final = 16
"""From so many workers on, each candidate keeps one, and not one for each job."""

MOST_KEPT: Final = 128
"""The most idle workers; each takes five descriptors, and many systems allow a process 1024."""

LEAST_FREE_MEMORY: Final = 1 / 10
MOST_LOST_BATCHES: Final = 3
MOST_IDLE_DEATHS: Final = 8


class ExecutorClosed(RuntimeError):
    """The executor was closed before or during this call."""


class SourceReplaced(NoVerdict):
    """A file of a candidate was replaced during the campaign, so two programs were measured."""

    @classmethod
    def of(cls, path: str) -> Self:
        """Return the error that names a file."""
        return cls(
            f"{path}: replaced while it was measured, so the figures mix two programs;"
            " leave it unchanged, and begin again with --overwrite or another --out"
        )


class _NotLoaded(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Isolated(Closing):
    """Calls every candidate in processes of its own, at most `jobs` at a time.

    A worker lives as long as its candidate does no harm, so each worker imports a library once. Where there
    are many candidates, each keeps one worker. The time that faults cost is limited (`allowance`). Three
    rules stop a candidate: one that cannot be imported is not imported again; one that loses its workers on
    every row tried, in three batches of a format in succession, is not called again in that format; and
    neither is one whose workers died between calls eight times, with no worker in between that lived to its
    next call.

    Args:
        jobs: the most calls at the same time, from as many threads.
        timeout: the most seconds that one call may take, whatever the number of rows; None for no limit.
        max_memory: the most bytes of address space that a candidate and its libraries may take; None for
            no limit, as for libraries that reserve far more than they use (CUDA).
        load_timeout: the most seconds that importing a candidate may take.
        fault_seconds: the time that the faults of a candidate may cost; inf where every row must be called.
        deadline: when calls and waits end.

    Raises:
        ValueError: jobs or max_memory is below 1, or the platform does not support them.
    """

    def __init__(
        self,
        jobs: int = 1,
        timeout: float | None = TIMEOUT_SECONDS,
        max_memory: int | None = None,
        load_timeout: float | None = LOAD_SECONDS,
        fault_seconds: float = FIRST_SECONDS,
        deadline: Deadline = NEVER,
    ) -> None:
        if os.name != "posix":
            raise ValueError(f"isolated execution on {sys.platform}: it needs POSIX; run with --in-process")
        if jobs < 1:
            raise ValueError(f"jobs {jobs}: at least 1")
        if max_memory is not None:
            _require_memory_limit(max_memory)
        keep_freed_memory()
        self._timeout = timeout
        self._max_memory = max_memory or 0
        self._load_timeout = load_timeout
        self._deadline = deadline
        self._slots = threading.BoundedSemaphore(jobs)
        self._many = MANY_PER_JOB * jobs
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._idle: list[tuple[str, Worker]] = []  # the longest idle first
        self._busy: dict[Worker, str] = {}
        self._callers: Counter[str] = Counter()
        self._allowances: defaultdict[str, Allowance] = defaultdict(partial(Allowance, fault_seconds))
        self._once_loaded: set[str] = set()
        self._files: dict[str, dict[str, str]] = {}
        self._unloadable: dict[str, Failure] = {}
        self._lost_batches: Counter[tuple[str, str]] = Counter()
        self._completed: set[tuple[str, str]] = set()
        self._idle_deaths: Counter[str] = Counter()
        self._resources = ExitStack()
        self._servers = self._resources.enter_context(servers())
        self._closed = False

    def run(
        self,
        spec: str,
        x: Array,
        out_format: FloatFormat,
        timeout: float | None = None,
        *,
        presentation: Presentation = "plain",
        reduces: bool = False,
    ) -> Outcome:
        """See `Executor.run`.

        Raises:
            ExecutorClosed: it was closed before, or by another thread during the call.
            OutOfTime: the deadline has passed.
        """
        x = check_rows(x)
        self._deadline.check_grace()
        refusal = self._refusal(spec, x)
        if refusal is not None:
            return Outcome.failed(len(x), Fault(refusal.kind, None, refusal.message))
        limit = self._timeout if timeout is None else timeout
        allowance = self._allowances[spec]
        asked = _Calls(self, spec, out_format.dtype, presentation, limit, allowance, reduces=reduces)
        with self._slots, asked as calls:
            try:
                outcome = complete(calls, x, allowance, is_plain=presentation == "plain")
            except _NotLoaded as not_loaded:
                failure = not_loaded.failure
                return Outcome.failed(len(x), Fault(failure.kind, None, failure.message))
        self._remember((spec, name_of(x.dtype)), outcome, survived=calls.survived)
        return calls.with_earlier_deaths(outcome)

    def grant(self) -> None:
        """See `Executor.grant`."""
        for allowance in list(self._allowances.values()):
            allowance.grant()

    def given_up(self) -> dict[str, str]:
        """See `Executor.given_up`."""
        return summaries(self._allowances)

    def close(self) -> None:
        """Kill all workers and the processes that they started; calls in progress raise `ExecutorClosed`."""
        with self._lock:
            self._closed = True
            idle = [worker for _, worker in self._idle]
            self._idle.clear()
            busy = list(self._busy)
        with self._resources:
            for worker in (*idle, *busy):
                worker.let_go()
            for worker in idle:
                worker.kill()
            for worker in busy:
                worker.wait()

    def files(self, spec: str) -> dict[str, str]:
        """Return digests of the files of a candidate's project that its workers have loaded."""
        with self._lock:
            return dict(self._files.get(spec, {}))

    def expect(self, spec: str, files: Mapping[str, str]) -> None:
        """Require that the workers of a candidate load files with these digests."""
        with self._lock:
            self._files.setdefault(spec, {}).update(files)

    def check_files(self, spec: str, worker: Worker) -> None:
        """Compare the files that a worker has loaded with those that other workers of the candidate have.

        Raises:
            SourceReplaced: a file differs.
        """
        with self._lock:
            known = self._files.setdefault(spec, {})
            differing = [path for path, own in worker.files.items() if known.setdefault(path, own) != own]
        if differing:
            raise SourceReplaced.of(differing[0])

    def until_the_end(self, limit: float | None) -> float | None:
        """Return the time limit, or the time until the deadline if that is less."""
        left = self._deadline.grace
        if math.isinf(left):
            return limit
        return max(0.0, left if limit is None else min(limit, left))

    def is_late(self, failure: Failure | None) -> bool:
        """Return whether the deadline ended the worker, not a time limit of the candidate."""
        return failure is not None and failure.kind == "timed_out" and self._deadline.grace <= 0

    # What is known of a candidate ----------------------------------------------------------

    def _refusal(self, spec: str, x: Array) -> Failure | None:
        if spec in self._unloadable:
            return self._unloadable[spec]
        if self._lost_batches[spec, name_of(x.dtype)] >= MOST_LOST_BATCHES:
            why = f"no row of {MOST_LOST_BATCHES} batches of {x.dtype.name} completed"
        elif self._idle_deaths[spec] >= MOST_IDLE_DEATHS:
            why = f"{MOST_IDLE_DEATHS} of its processes in a row ended after they had answered a call"
        else:
            return None
        self._allowances[spec].count_untried(len(x))
        return Failure("not_tried", f"not tried: {why}")

    def _remember(self, key: tuple[str, str], outcome: Outcome, *, survived: bool) -> None:
        lost = any(fault.kind in ("crashed", "timed_out") for fault in outcome.faults)
        with self._lock:
            if outcome.completed.any():
                self._completed.add(key)
            elif lost and len(outcome.completed) > 1 and key not in self._completed:
                self._lost_batches[key] += 1
            if survived:
                self._idle_deaths[key[0]] = 0

    # Workers -------------------------------------------------------------------------------

    def obtain(self, spec: str) -> tuple[Worker, bool, Failure | None]:
        """Return a worker with the candidate, whether it was idle, and how another idle one died."""
        death = None
        worker = self._wait_for_idle(spec)
        if worker is not None:
            death = worker.death()
            if death is None:
                return worker, True, None
            self.discard(worker)
            with self._lock:
                self._idle_deaths[spec] += 1
        started = self._start(spec)
        self._allowances[spec].charge_start(started.start_seconds / self.callers(spec))
        return started, False, death

    def enter(self, spec: str) -> None:
        """Count a thread that begins to call a candidate."""
        with self._lock:
            self._callers[spec] += 1

    def leave(self, spec: str) -> None:
        """Count a thread that has finished calling it."""
        with self._lock:
            self._callers[spec] -= 1

    def callers(self, spec: str) -> int:
        """Return how many threads call a candidate now; they share the cost of its faults."""
        with self._lock:
            return max(1, self._callers[spec])

    def _wait_for_idle(self, spec: str) -> Worker | None:
        """Return an idle worker; None where another may be started.

        Where there are many workers, each candidate has one, and threads take turns.
        """
        with self._freed:
            while (worker := self._take_idle(spec)) is None and self._has_many and not self._closed:
                if spec not in self._busy.values():
                    return None
                self._freed.wait(ATTENTION_SECONDS)
            return worker

    @property
    def _has_many(self) -> bool:
        return len(self._idle) + len(self._busy) >= self._many

    def _take_idle(self, spec: str) -> Worker | None:
        for index in reversed(range(len(self._idle))):
            if self._idle[index][0] == spec:
                worker = self._idle.pop(index)[1]
                self._busy[worker] = spec
                return worker
        return None

    def _start(self, spec: str) -> Worker:
        """Return a worker that has imported the candidate.

        If the worker dies while importing, another is tried: something else may have killed it.
        """
        for attempt in range(LOAD_ATTEMPTS):
            result = self._load(spec)
            if isinstance(result, Worker):
                self._once_loaded.add(spec)
                return result
            if result.kind != "crashed" or attempt == LOAD_ATTEMPTS - 1:
                raise self._not_loaded(spec, result)
        raise AssertionError("the last attempt returns or raises")

    def _load(self, spec: str) -> Worker | Failure:
        """Return a worker that has imported the candidate, or why it could not."""
        try:
            worker = self._new_worker(spec)
        except WorkerLost as lost:
            return lost.failure
        try:
            failure = worker.load(spec, self.until_the_end(self._load_timeout))
        except WorkerLost as lost:
            failure = lost.failure
        except BaseException:
            self.discard(worker)
            raise
        if failure is None:
            return worker
        self.discard(worker)
        if self.is_late(failure):
            raise OutOfTime
        return failure

    def _new_worker(self, spec: str) -> Worker:
        """Return a worker without a candidate.

        Raises:
            WorkerLost: it did not start.
            ExecutorClosed: the executor is closed.
        """
        with self._lock:
            if self._closed:
                raise ExecutorClosed("this executor is closed")
        worker = Worker(self._max_memory, self._servers.of(spec).start)
        with self._lock:
            is_late, self._busy[worker] = self._closed, spec
        if is_late:
            self.discard(worker)
            raise ExecutorClosed("this executor was closed meanwhile")
        return worker

    def _not_loaded(self, spec: str, failure: Failure) -> _NotLoaded:
        with self._lock:
            if self._closed:
                raise ExecutorClosed("this executor was closed meanwhile")
            failure = Failure(
                failure.kind,
                f"importing it: {failure.message}" if failure.fatal else failure.message,
                failure.fatal,
            )
            if spec not in self._once_loaded:
                self._unloadable[spec] = failure
        return _NotLoaded(failure)

    def give_back(self, spec: str, worker: Worker) -> None:
        """Keep a worker for the next call of its candidate.

        Where there are many workers, no second one of a candidate is kept. Where there are too many, the one
        used before this is ended: candidates take turns, so the one that has been idle longest is called
        next.
        """
        surplus = []
        with self._freed:
            is_second = spec in (*(other for other, _ in self._idle), *self._other_busy(worker))
            del self._busy[worker]
            if self._closed or (is_second and self._has_many):
                surplus.append(worker)
            else:
                self._idle.append((spec, worker))
                if len(self._idle) > 1 and (
                    len(self._idle) > MOST_KEPT or (self._has_many and _memory_is_short())
                ):
                    surplus.append(self._idle.pop(-2)[1])
            self._freed.notify_all()
        for unwanted in surplus:
            unwanted.kill()

    def _other_busy(self, worker: Worker) -> list[str]:
        return [spec for other, spec in self._busy.items() if other is not worker]

    def discard(self, worker: Worker) -> None:
        """End a worker that is lost or in an unknown state."""
        worker.kill()
        with self._freed:
            self._busy.pop(worker, None)
            self._freed.notify_all()


class _Calls:
    """The calls for one batch: it obtains a worker when needed, and another when that is lost.

    Attributes:
        survived: whether its worker had answered a batch before and has answered this one too.
    """

    def __init__(
        self,
        owner: Isolated,
        spec: str,
        out_dtype: np.dtype[Any],
        presentation: Presentation,
        timeout: float | None,
        allowance: Allowance,
        *,
        reduces: bool,
    ) -> None:
        self._reduces = reduces
        self._owner = owner
        self._allowance = allowance
        self._failing = False
        self._spec = spec
        self._out_dtype = out_dtype
        self._presentation = presentation
        self._timeout = timeout
        self._worker: Worker | None = None
        self._deaths: list[Fault] = []
        self.survived = False

    def __call__(self, x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """See `Attempts`."""
        result = self._called(x, parts, patience)
        if result.part_is_known or len(parts) == 1:
            return result
        return self._one_by_one(x, parts, patience)

    def _one_by_one(self, x: Array, parts: Sequence[Part], patience: float) -> Attempt:
        """Call each part by a request of its own, so that the one that fails is known."""
        outputs = np.zeros(outputs_shape(x.shape, reduces=self._reduces), dtype=self._out_dtype)
        overwritten = np.zeros(len(x), dtype=np.bool_)
        for number, (low, high) in enumerate(parts):
            result = self._called(x[low:high], [(0, high - low)], patience)
            if result.failure is not None:
                return Attempt(number, outputs, result.failure, overwritten)
            outputs[low:high] = result.outputs
            if result.overwritten is not None:
                overwritten[low:high] = result.overwritten
        return Attempt(len(parts), outputs, None, overwritten)

    def _called(self, x: Array, parts: Sequence[Part], patience: float) -> Attempt:
        if self._worker is None:
            self._worker, self.survived, death = self._owner.obtain(self._spec)
            if death is not None:
                self._deaths.append(Fault(death.kind, None, death.message))
        longest = max(last - first for first, last in parts)
        limit = self._owner.until_the_end(self._limit(longest, x.shape[1], patience))
        start = time.monotonic()
        result = self._worker.call(
            x, parts, self._out_dtype, self._presentation, limit, reduces=self._reduces
        )
        if self._owner.is_late(result.failure):
            raise OutOfTime
        self._owner.check_files(self._spec, self._worker)
        self._failing |= result.failure is not None and result.failure.kind != "unsupported"
        if self._failing:
            self._charge(result.failure, time.monotonic() - start)
        if result.failure is not None and result.failure.fatal:
            self._owner.discard(self._worker)
            self._worker, self.survived = None, False
        return result

    def _charge(self, failure: Failure | None, seconds: float) -> None:
        crashed = failure is not None and failure.kind == "crashed"
        charged = min(seconds, MOST_FOR_A_CRASH) if crashed else seconds
        self._allowance.charge(charged / self._owner.callers(self._spec))

    def _limit(self, rows: int, length: int, patience: float) -> float | None:
        if self._timeout is None:
            return None
        return self._allowance.limit(self._timeout, rows, length, patience)

    def with_earlier_deaths(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the faults of idle workers added."""
        if not self._deaths:
            return outcome
        faults = (*outcome.faults, *self._deaths)
        return Outcome(outcome.outputs, outcome.completed, faults, outcome.overwritten)

    def __enter__(self) -> Self:
        self._owner.enter(self._spec)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._owner.leave(self._spec)
        if self._worker is None:
            return
        if kind is None:
            self._owner.give_back(self._spec, self._worker)
        else:  # interrupted: the worker may be in the middle of a call
            self._owner.discard(self._worker)


def _memory_is_short() -> bool:
    """Return whether memory is short (Linux; elsewhere only the number of workers is limited)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return sizes["MemAvailable"] < LEAST_FREE_MEMORY * sizes["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return False


def _require_memory_limit(max_memory: int) -> None:
    if max_memory < 1:
        raise ValueError(f"max_memory {max_memory}: a number of bytes, at least 1; leave it out for no limit")
    if not sys.platform.startswith("linux"):  # macOS has RLIMIT_AS and does not enforce it
        raise ValueError(
            f"max_memory {max_memory}: {sys.platform} cannot limit a process's address space; leave it out"
        )
