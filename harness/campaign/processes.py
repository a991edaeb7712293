"""Processes of this machine that work side by side, while this process alone calls candidates.

The work is mostly Python, which threads cannot run side by side. So copies of this process draw the rows
and judge the outputs. They ask this process to call the candidates: it holds the only executor, so that the
known faults of a candidate and their allowance do not depend on the number of processes.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NoReturn, TypeVar

from numpy.typing import NDArray

from harness.campaign.deal import Measured, Task, Threads
from harness.campaign.exchange import Line
from harness.subject.execution import Executor
from harness.subject.execution.calls import Presentation
from harness.subject.execution.outcome import Closing, Outcome
from harness.terminal.exceptions import NoVerdict
from harness.terminal.interrupts import awaited, held_back
from reference.formats import FloatFormat, format_named
from reports.record.ledger import Place, packed
from reports.record.witness import CellKey

__all__ = ["Processes", "can_fork", "meanwhile", "side_by_side"]

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING: Final = 4
"""For every so many jobs there is one more copy, and one more at least: a copy waits for its candidate for a
fifth to a third of a task."""

FIRST_OWN: Final = 3
"""The first descriptor of a copy's own: those below are standard input, output and error."""


def can_fork() -> bool:
    """Return whether this process can be copied: on Linux, while no other thread can hold a lock."""
    return sys.platform.startswith("linux") and threading.active_count() == 1


class Processes(Threads[Task]):
    """Copies of this process, each served by a thread here; create them before any thread starts.

    `ended` raises NoVerdict where a copy has died.

    Args:
        measure: a pure function of a task, but for the candidates that it calls.
        executor: calls the candidates, in this process; closed when the work is abandoned.
        jobs: how many processors to keep busy.
        place: where this process runs, with the versions of the candidates' libraries.
    """

    def __init__(
        self, measure: Callable[[Task, Executor], Measured], executor: Executor, jobs: int, place: Place
    ) -> None:
        def packing(task: Task, executor: Executor) -> tuple[Mapping[CellKey, bytes], Measured]:
            measured = measure(task, executor)
            return {key: packed(tally) for key, tally in measured.tallies.items()}, measured

        copies = _copies_for(jobs)
        self._copies = [_Copy.of(packing) for _ in range(copies)]
        super().__init__(measure, executor, copies, place)
        self._free: SimpleQueue[_Copy] = SimpleQueue()
        for copy in self._copies:
            self._free.put(copy)

    def dismiss(self) -> None:
        """See `Crew.dismiss`."""
        super().dismiss()
        self.close()

    def abandon(self) -> None:
        """See `Crew.abandon`."""
        super().abandon()
        self.close()

    def close(self) -> None:
        """End the copies."""
        for copy in self._copies:
            copy.kill()
        self._copies.clear()

    def _measured(self, task: Task) -> tuple[Mapping[CellKey, bytes], Measured]:
        answer: tuple[Mapping[CellKey, bytes], Measured] = _asked(self._free, task, self._executor)
        return answer


def _copies_for(jobs: int) -> int:
    """Return how many copies keep so many processors busy: each waits for a while at every call."""
    return jobs + max(1, jobs // WAITING)


def side_by_side(
    of_one: Callable[[Item, Executor], Result], items: Sequence[Item], executor: Executor, jobs: int
) -> Iterator[Result]:
    """Yield what a function returns for each item, in the items' order.

    Where this process can be copied, copies work on several items at once.

    Args:
        of_one: given an item and an executor; called in a copy of this process.
        items: what to give it.
        executor: calls the candidates, in this process.
        jobs: how many processors to keep busy.

    Raises:
        NoVerdict: a copy has died.
    """
    if min(jobs, len(items)) < 2 or not can_fork():
        yield from (of_one(item, executor) for item in items)
        return
    most = min(_copies_for(jobs), len(items))
    copies: list[_Copy] = []
    free: SimpleQueue[_Copy] = SimpleQueue()
    pool = ThreadPoolExecutor(most, thread_name_prefix="copy")
    try:
        with suppress(OSError):  # no memory, or no process, is left for another
            for _ in range(most):
                copies.append(_Copy.of(of_one))
                free.put(copies[-1])
        if not copies:
            yield from (of_one(item, executor) for item in items)
            return
        for future in [pool.submit(_asked, free, item, executor) for item in items]:
            yield awaited(future)
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for copy in copies:
            copy.kill()


@contextmanager
def meanwhile(work: Callable[[], None], jobs: int) -> Iterator[None]:
    """Do some work in a copy of this process while the body runs; before it, where there can be no copy.

    An error of the body is raised when the work is done, and is the one that is told; an interrupt ends the
    work.

    Args:
        work: leaves its results in files.
        jobs: how many processors to keep busy; there is no copy for one.

    Raises:
        Exception: whatever the work raises.
        NoVerdict: the copy has died.
    """
    copy: _Copy | None = None
    if jobs > 1 and can_fork():
        with suppress(OSError):  # no memory, or no process, is left for another
            copy = _Copy.of(lambda _, __: work())
    if copy is None:
        work()
        yield
        return
    try:
        copy.begin(None)
        try:
            yield
        except Exception:
            with suppress(Exception):
                copy.end()
            raise
        copy.end()
    finally:
        copy.kill()


def _asked(free: SimpleQueue[_Copy], task: Any, executor: Executor) -> Any:
    copy = free.get()
    try:
        return copy.ask(task, executor)
    finally:
        free.put(copy)


@dataclass(frozen=True)
class _Request:
    """A copy's request to call a candidate.

    The output format goes by its name: what it has worked out of itself would go along, such as the 512 KiB
    of all float16 values.
    """

    spec: str
    x: NDArray[Any]
    out_format: str
    timeout: float | None
    presentation: Presentation
    reduces: bool


@dataclass(frozen=True)
class _Failed:
    """An error at the other end."""

    error: BaseException


@dataclass
class _Copy:
    """A copy of this process, as this process sees it."""

    process: int
    line: Line

    @classmethod
    def of(cls, function: Callable[[Any, Executor], Any]) -> _Copy:
        """Fork a copy that calls a function."""
        ours, theirs = Line.pair()
        made: list[_Copy] = []
        try:
            with closing(theirs), held_back():
                process = os.fork()
                if process == 0:
                    _run_copy(function, theirs)
                made.append(cls(process, ours))
        except BaseException:  # an interrupt that was held back, for one
            for copy in made:
                copy.kill()
            raise
        return made[0]

    def ask(self, task: Any, executor: Executor) -> Any:
        """Return what the copy's function returns for a task; candidates are called here, at its requests."""
        self.begin(task)
        while isinstance(reply := self.end(), _Request):
            self.begin(_called(executor, reply))
        return reply

    def begin(self, task: Any) -> None:
        """Give it a task, or the answer to a request."""
        with self._alive():
            self.line.send(task)

    def end(self) -> Any:
        """Return what its function returns, or a request."""
        with self._alive():
            reply = self.line.receive()
        if isinstance(reply, _Failed):
            raise reply.error
        return reply

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            raise NoVerdict(
                f"process {self.process}, a copy of the harness, died: memory may be short;"
                " try fewer --jobs; what was recorded is kept"
            ) from error

    def kill(self) -> None:
        """End it at once; it holds nothing that needs cleaning up."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.process, 0)


def _called(executor: Executor, request: _Request) -> Outcome | _Failed:
    try:
        return executor.run(
            request.spec,
            request.x,
            format_named(request.out_format),
            request.timeout,
            presentation=request.presentation,
            reduces=request.reduces,
        )
    except BaseException as error:  # noqa: BLE001  raised in the copy
        return _Failed(_sendable(error))


# In a copy -----------------------------------------------------------------------------------


class _Orphaned(Exception):
    """The process at the other end of a line is gone."""


class _RemoteExecutor(Closing):
    """An executor that passes calls to the process at the other end of a line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def run(
        self,
        spec: str,
        x: NDArray[Any],
        out_format: FloatFormat,
        timeout: float | None = None,
        *,
        presentation: Presentation = "plain",
        reduces: bool = False,
    ) -> Outcome:
        """See `Executor.run`."""
        try:
            request = _Request(spec, x, out_format.name, timeout, presentation, reduces)
            self._line.send(request, lent=True)
            answer = self._line.receive()
        except (EOFError, OSError) as error:
            raise _Orphaned from error
        if isinstance(answer, _Failed):
            raise answer.error
        outcome: Outcome = answer
        return outcome

    def grant(self) -> None:
        """See `Executor.grant`; a task begins no stage."""

    def given_up(self) -> dict[str, str]:
        """See `Executor.given_up`; the other process knows."""
        return {}


def _run_copy(function: Callable[[Any, Executor], Any], line: Line) -> NoReturn:
    """Serve tasks as long as the other process lives, and exit without its clean-up."""
    try:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C is for the other process; it was blocked until here
        _close_all_but(line.fileno())
        gc.freeze()  # a collected object would close a descriptor whose number is another's by then
        _serve(function, line)
    except (EOFError, OSError, _Orphaned):
        os._exit(0)
    finally:
        os._exit(1)


def _serve(function: Callable[[Any, Executor], Any], line: Line) -> NoReturn:
    executor = _RemoteExecutor(line)
    while True:
        task = line.receive()
        try:
            line.send(function(task, executor))
        except _Orphaned:
            raise
        except BaseException as error:  # noqa: BLE001  raised in the other process
            line.send(_Failed(_sendable(error)))


def _sendable(error: BaseException) -> BaseException:
    """Return the error, or one with the same message where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    except Exception:  # noqa: BLE001  whatever its class does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _close_all_but(kept: int) -> None:
    """Close the descriptors of the other process: while they are open, its end goes unnoticed."""
    last = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    os.closerange(FIRST_OWN, kept)
    os.closerange(kept + 1, last + 1)
