"""Processes of this machine that measure tasks, while this process alone calls candidates.

Most of what measuring costs is Python, which threads cannot share. So copies of this process draw the rows
and judge the outputs; each asks this process for the outputs, which holds the only executor: what is known of
a candidate's faults, and what they may cost, is the same for any number of processes.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NoReturn

from numpy.typing import NDArray

from harness.campaign.deal import Measured, Task, Threads
from harness.subject.execution import Executor
from harness.subject.execution.calling import Presentation
from harness.subject.execution.outcome import Closing, Outcome
from harness.terminal.exceptions import NoVerdict
from reference.formats import FloatFormat
from reports.record.ledger import Place, packed
from reports.record.witness import CellKey

__all__ = ["Processes", "can_fork"]

FIRST_OWN: Final = 3
"""The descriptors below are standard input, output and error, which copies share."""


def can_fork() -> bool:
    """Tell whether a copy of this process works: on Linux, where no other thread can hold a lock in it."""
    return sys.platform.startswith("linux") and threading.active_count() == 1


class Processes(Threads[Task]):
    """Copies of this process, each with a thread here; made at once, so make them before any thread starts.

    `ended` raises NoVerdict where a copy is gone.

    Args:
        measure: a pure function of a task, but for the candidates that it calls.
        executor: calls them, in this process; closed when the work is broken off.
        jobs: how many.
        place: where this process runs, with the versions of the candidates' libraries.
    """

    def __init__(
        self, measure: Callable[[Task, Executor], Measured], executor: Executor, jobs: int, place: Place
    ) -> None:
        self._copies = [_Copy.of(measure) for _ in range(jobs)]
        super().__init__(measure, executor, jobs, place)
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
        copy = self._free.get()
        try:
            return copy.measure(task, self._executor)
        finally:
            self._free.put(copy)


@dataclass(frozen=True)
class _Asked:
    """What a copy wants a candidate to be called with."""

    spec: str
    x: NDArray[Any]
    out_format: FloatFormat
    timeout: float | None
    presentation: Presentation


@dataclass(frozen=True)
class _Failed:
    """What went wrong at the other end."""

    error: BaseException


@dataclass
class _Copy:
    """A copy, seen from here."""

    process: int
    line: Connection

    @classmethod
    def of(cls, measure: Callable[[Any, Executor], Measured]) -> _Copy:
        """Make one."""
        ours, theirs = Pipe()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        process = os.fork()
        if process == 0:
            _be_a_copy(measure, theirs)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        theirs.close()
        return cls(process, ours)

    def measure(self, task: Any, executor: Executor) -> tuple[Mapping[CellKey, bytes], Measured]:
        """Have a task measured, and call candidates for it meanwhile."""
        try:
            self.line.send(task)
            while isinstance(told := self.line.recv(), _Asked):
                self.line.send(_called(executor, told))
        except (EOFError, OSError) as error:
            raise NoVerdict(
                f"process {self.process}, which measured a part, is gone: memory may be short;"
                " try fewer --jobs; what was recorded is kept"
            ) from error
        if isinstance(told, _Failed):
            raise told.error
        answer: tuple[Mapping[CellKey, bytes], Measured] = told
        return answer

    def kill(self) -> None:
        """End it; it holds nothing that would have to be put away."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.process, 0)


def _called(executor: Executor, asked: _Asked) -> Outcome | _Failed:
    try:
        return executor.run(
            asked.spec, asked.x, asked.out_format, asked.timeout, presentation=asked.presentation
        )
    except BaseException as error:  # noqa: BLE001  raised where it was asked
        return _Failed(_sendable(error))


# In a copy -----------------------------------------------------------------------------------


class _There(Closing):
    """The executor of the process at the other end of a line."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def run(
        self,
        spec: str,
        x: NDArray[Any],
        out_format: FloatFormat,
        timeout: float | None = None,
        *,
        presentation: Presentation = "plain",
    ) -> Outcome:
        """See `Executor.run`."""
        self._line.send(_Asked(spec, x, out_format, timeout, presentation))
        answer = self._line.recv()
        if isinstance(answer, _Failed):
            raise answer.error
        outcome: Outcome = answer
        return outcome

    def grant(self) -> None:
        """See `Executor.grant`; a task begins no stage."""

    def given_up(self) -> dict[str, str]:
        """See `Executor.given_up`; the other process knows."""
        return {}


def _be_a_copy(measure: Callable[[Any, Executor], Measured], line: Connection) -> NoReturn:
    """Measure tasks for as long as the other process lives, and leave without any of its clean-up."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other's; until here it is held back
        _close_all_but(line.fileno())
        gc.freeze()  # what was closed is not to be closed again, under a number that is another's by then
        _serve(measure, line)
    except (EOFError, OSError):
        os._exit(0)
    finally:
        os._exit(1)


def _serve(measure: Callable[[Any, Executor], Measured], line: Connection) -> NoReturn:
    executor = _There(line)
    while True:
        task = line.recv()
        try:
            measured = measure(task, executor)
            line.send(({key: packed(tally) for key, tally in measured.tallies.items()}, measured))
        except (EOFError, OSError):
            raise
        except BaseException as error:  # noqa: BLE001  raised where the task was given
            line.send(_Failed(_sendable(error)))


def _sendable(error: BaseException) -> BaseException:
    """Return the error, or one that says the same where it does not survive the way."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    except Exception:  # noqa: BLE001  whatever its class does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _close_all_but(kept: int) -> None:
    """Close what belongs to the other process: its end would go unnoticed by what waits for it."""
    last = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    os.closerange(FIRST_OWN, kept)
    os.closerange(kept + 1, last + 1)
