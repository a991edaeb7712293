"""A user's candidate as this process meets it: looked at from outside, imported only when called.

Its modules may be named like our rooms (`reference.py`, `harness/`, `reports/`), so while it
is imported here ours are out of `sys.modules`, and theirs are out again afterwards; they live
on in the candidate. A room's name that it first imports inside a call means ours: a worker
process, where nothing of ours is imported, knows no such limit.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from harness.subject.candidates.loading import CandidateError, Location, import_function, through
from harness.subject.candidates.native import signature
from harness.subject.candidates.prototypes import Prototype, declared_beside

if TYPE_CHECKING:
    from harness.subject.execution.attempts import Failure

__all__ = ["ROOMS", "Foreign", "inspect_apart"]

ROOMS: Final = ("harness", "reference", "strategies", "reports")


def inspect_apart(location: Location, timeout: float) -> dict[str, Any]:
    """Return `loading.describe` of a candidate, found out in a worker, which leaves nothing behind.

    Raises:
        CandidateError: it cannot be imported, or the process dies or takes longer than `timeout` seconds.
    """
    from harness.subject.execution.fork_server import servers
    from harness.subject.execution.process import Worker, WorkerLost

    with servers() as forks:
        try:
            worker = Worker(start=forks.of(location.spec).start)
        except WorkerLost:  # the fork server is gone
            worker = Worker()
        try:
            answer = worker.describe(location.absolute, timeout)
        except WorkerLost as lost:
            raise CandidateError(
                f"candidate {location.spec!r}: {_ending(lost.failure, timeout, location)}"
            ) from None
        finally:
            worker.kill()
    if "error" in answer:
        raise CandidateError(answer["error"].replace(repr(location.absolute), repr(location.spec), 1))
    return answer


def _ending(failure: Failure, timeout: float, location: Location) -> str:
    if location.is_native:
        return (
            f"tried with a few rows of zeros: {failure.message}; it was called as {_called_as(location)}; if"
            " that is not its prototype, write its own after the colon or into a header beside the library"
        )
    if failure.kind == "timed_out":
        return f"still importing after {timeout:g} s; make it import faster, or give a longer --timeout"
    return f"importing it: {failure.message}"


def _called_as(location: Location) -> str:
    """Return the prototype of a native kernel, in float32 where its name is that of several."""
    beside = declared_beside(location.file) if location.file is not None else {}
    if isinstance(declared := beside.get(location.function), Prototype):
        return declared.text
    return location.prototype or signature(location.function, "float32", "float32")


class Foreign:
    """A user's function, imported into this process at its first call, apart from our rooms."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._function: Callable[..., Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function.

        Raises:
            CandidateError: it cannot be imported any more.
        """
        with self._lock:
            if self._function is None:
                with _rooms_aside():
                    self._function = through(self._location, import_function(self._location))
        return self._function(*arguments, **keywords)


@contextmanager
def _rooms_aside() -> Iterator[None]:
    ours = _take_out_rooms()
    try:
        yield
    finally:
        _take_out_rooms()
        sys.modules.update(ours)


def _take_out_rooms() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] in ROOMS]
    return {name: sys.modules.pop(name) for name in names}
