"""A user's candidate as this process meets it: looked at from outside, imported only when called.

Its modules may be named like our rooms (`reference.py`, `harness/`, `reports/`), so while it
is imported here ours are out of `sys.modules`, and theirs are out again afterwards; they live
on in the candidate. A room's name that it first imports inside a call means ours: a worker
process, where nothing of ours is imported, knows no such limit.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from harness.candidates import loading
from harness.candidates.loading import CandidateError, Location, import_function

__all__ = ["ROOMS", "Foreign", "inspect_apart"]

ROOMS: Final = ("harness", "reference", "strategies", "reports")


def inspect_apart(location: Location, timeout: float) -> dict[str, Any]:
    """Return `loading.describe` of a candidate, found out in a process of its own.

    Raises:
        CandidateError: it cannot be imported, or the process dies or takes longer than `timeout` seconds.
    """
    command = [sys.executable, "-P", loading.__file__, location.absolute]
    try:
        done = subprocess.run(  # noqa: S603 - our own file; the spec is its argument
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _failed(location, f"still importing after {timeout:g} s; make it import faster") from None
    if not done.stdout:
        raise _failed(location, f"the process that imports it {_ending(done.returncode)}")
    answer: dict[str, Any] = json.loads(done.stdout)
    if "error" in answer:
        raise CandidateError(answer["error"].replace(repr(location.absolute), repr(location.spec), 1))
    return answer


def _failed(location: Location, reason: str) -> CandidateError:
    return CandidateError(f"candidate {location.spec!r}: {reason}")


def _ending(code: int) -> str:
    if code < 0:
        return f"dies of {signal.Signals(-code).name}"
    return f"exits with code {code} before it has answered"


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
                    self._function = import_function(self._location)
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
