"""Make sure that the four rooms this program imports are its own.

The package names are generic: a stranger's `reference.py` in the current folder, or another
distribution's `reports` beside ours, would be imported in place of a room. In our own program
`secure` keeps the current folder off `sys.path` (a candidate's folder is put first where its code
runs), and checks that every room is the one that lies beside this file.

In a program of the user's, such as their pytest, the names are theirs where they have such modules.
What they call of ours runs `at_home`: there the names mean ours. Their function is a `guest`: while it
is called the names mean theirs. What else of ours they import beside strangers is refused in one line.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final, ParamSpec, TypeVar

from harness.terminal.exceptions import UsageError

__all__ = ["ROOMS", "ROOT", "at_home", "called_at_home", "guest", "require_rooms", "secure"]

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = ("reference", "strategies", "reports")
MARK: Final = "__room_of__"

P = ParamSpec("P")
R = TypeVar("R")


def secure() -> None:
    """Take the current folder off `sys.path` and import the rooms from beside this one.

    Raises:
        UsageError: a room is missing, or something else answers to its name.
    """
    here = os.path.realpath(os.curdir)
    outside = [p for p in sys.path if os.path.realpath(p) not in (here, str(ROOT))]
    sys.path[:] = [str(ROOT), *outside]
    for name in ROOMS:
        _import_ours(name)


def _import_ours(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"package {name!r} beside {ROOT / 'harness'}: {error}; install again") from error
    if not _is_ours(module):
        raise UsageError(
            f"{_told(name, _file_of(module))}; "
            "rename it, or install softmax-harness in a virtual environment of its own"
        )


def _is_ours(module: ModuleType) -> bool:
    return getattr(module, MARK, None) == "softmax-harness"


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "no file")


def _told(name: str, file: str) -> str:
    return f"{file}: it answers to {name!r}, which softmax-harness needs as its own"


# In a program of the user's ----------------------------------------------------------------


def _strangers() -> dict[str, str]:
    """Return the rooms whose names lead elsewhere, and the files or folders that they lead to."""
    found = {}
    for name in ROOMS:
        module = sys.modules.get(name)
        if module is not None:
            if not _is_ours(module):
                found[name] = _file_of(module)
        elif (spec := PathFinder.find_spec(name)) is not None:
            place = spec.origin or next(iter(spec.submodule_search_locations or ()), "no file")
            if not Path(place).resolve().is_relative_to(ROOT / name):
                found[name] = place
    return found


class _House:
    """Which modules the names of the rooms lead to, where two sets of them live in one process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._kept: dict[str, ModuleType] = {}
        self._names: frozenset[str] = frozenset()
        self._inside = 0
        self._guests = 0

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._names = frozenset(_strangers())
                self._exchange()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._exchange()
                self._names = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether the names mean ours, and would mean a stranger's outside."""
        return bool(self._names)

    @property
    def is_entered(self) -> bool:
        return bool(self._inside) and not self._guests

    def welcome(self) -> None:
        with self._lock:
            self._guests += 1
            if self._guests == 1:
                self._exchange()

    def see_off(self) -> None:
        with self._lock:
            self._guests -= 1
            if not self._guests:
                self._exchange()

    def _exchange(self) -> None:
        """Swap the modules that bear the names for those kept, and open or close the way to ours."""
        if not self._names:
            return
        bearing = [name for name in list(sys.modules) if name.partition(".")[0] in self._names]
        taken = {name: sys.modules.pop(name) for name in bearing}
        sys.modules.update(self._kept)
        self._kept = taken
        if self.is_entered:
            sys.meta_path.insert(0, self)
        else:
            sys.meta_path.remove(self)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002 - the protocol of finders
    ) -> ModuleSpec | None:
        """Find a room beside this file, whatever stands before it on `sys.path`."""
        if path is None and name in self._names:
            return PathFinder.find_spec(name, [str(ROOT)])
        return None


_HOUSE: Final = _House()


@contextmanager
def at_home() -> Iterator[None]:
    """Have the names of the rooms mean ours, and afterwards what they meant before."""
    _HOUSE.enter()
    try:
        yield
    finally:
        _HOUSE.leave()


def called_at_home(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of ours that runs `at_home`, without a frame of its own in pytest's tracebacks."""

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        __tracebackhide__ = True
        with at_home():
            return function(*arguments, **keywords)

    return call


def guest(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a user's function such that the names of the rooms mean the user's while it is called."""
    if not _HOUSE.is_open:
        return function

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        _HOUSE.welcome()
        try:
            return function(*arguments, **keywords)
        finally:
            _HOUSE.see_off()

    return call


def require_rooms() -> None:
    """Refuse to go on where the names of the rooms lead elsewhere.

    Raises:
        ImportError: one does; the message names the file.
    """
    if not _HOUSE.is_entered:
        for name, file in _strangers().items():
            raise ImportError(
                f"{_told(name, file)}; call harness.measure, harness.testing or the command line,"
                " which live with it, or rename it",
                path=file,
            )
