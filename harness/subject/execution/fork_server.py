"""A process that forks workers.

A worker spends most of its start on the interpreter and NumPy. The fork server has loaded both, and no
candidate. A fork of it takes a tenth of the time, and is a process as clean as a fresh one that has
imported NumPy, but for what an interpreter draws at its start: all forks have the same hash seed. It is
started as a worker is, so it has none of the harness's threads and locks and a single Python thread, and it
ends with the harness. A command that will call candidates says so early (`begin`), and the server imports
while the command does.

The server for built-in candidates has loaded our rooms too. The other has not: a user's module may have a
room's name. A command starts each at most once, and so do commands within one `shared`. A fork works in the
folder that its request names.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

__all__ = ["ForkServer", "ForkServers", "Keeper", "Start", "begin", "fresh", "servers", "shared"]

PROGRAM: Final = Path(__file__).with_name("worker.py")
ANSWER_SECONDS: Final = 20.0  # to import NumPy on a busy machine, and to fork


class Keeper(Protocol):
    """The process above a worker."""

    def wait(self, timeout: float | None = None) -> object:
        """Wait until it has ended; raise `subprocess.TimeoutExpired` if that takes longer."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, if it lives."""

    def kill(self) -> None:
        """End it at once."""


Start = Callable[[tuple[int, ...], int, int], Keeper]
"""Starts a keeper and its worker: see `fresh`."""


def fresh(descriptors: tuple[int, ...], stderr: int, max_memory: int) -> Keeper:
    """Start a keeper and its worker from a new interpreter.

    Args:
        descriptors: of the connection, the lifeline and the shared memory.
        stderr: descriptor of their standard error.
        max_memory: bytes of address space that the candidate may take, 0 for no limit.
    """
    return _started(*map(str, descriptors), str(max_memory), stderr=stderr, descriptors=descriptors)


def _started(*arguments: str, stderr: int, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-W", "ignore", str(PROGRAM), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=descriptors,
        start_new_session=True,
    )


class ForkServer:
    """Forks keepers with their workers; used from several threads. The first request starts it.

    Args:
        built_in: whether it is for built-in candidates.
    """

    def __init__(self, *, built_in: bool = False) -> None:
        self._built_in = built_in
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._is_usable = hasattr(os, "pidfd_open")
        self._has_served = False
        self._surroundings = _Surroundings.now() if self._is_usable else None

    @property
    def fits(self) -> bool:
        """Whether it has not died, and this process has the surroundings that the server was started in."""
        has_died = self._has_served and not self._is_usable
        return not has_died and self._surroundings in (None, _Surroundings.now())

    def begin(self) -> None:
        """Start the server without waiting: it imports while this process does other things."""
        with self._lock, contextlib.suppress(OSError):  # then the first request starts it
            if self._is_usable and self._connection is None:
                self._open()

    def start(self, descriptors: tuple[int, ...], stderr: int, max_memory: int) -> Keeper:
        """Fork a keeper and its worker; start them by `fresh` where no fork server is possible.

        Raises:
            OSError: the server has ended or does not answer; later starts are fresh.
        """
        with self._lock:
            if self._is_usable:
                try:
                    connection = self._connection or self._open()
                    forked = self._can_fork(connection) and _requested(
                        connection, [*descriptors, stderr], max_memory
                    )
                except BaseException:  # an answer may be on its way
                    self._is_usable = False
                    raise
                if forked:
                    return forked
        return fresh(descriptors, stderr, max_memory)

    def _open(self) -> socket.socket:
        """Start the server; return the connection to it."""
        self._surroundings = _Surroundings.now()
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_started:
            unless_started.enter_context(ours)
            arguments, descriptors = (str(theirs.fileno()), str(int(self._built_in))), (theirs.fileno(),)
            self._process = _started(*arguments, stderr=subprocess.DEVNULL, descriptors=descriptors)
            unless_started.pop_all()
        ours.settimeout(ANSWER_SECONDS)
        self._connection = ours
        return ours

    def _can_fork(self, connection: socket.socket) -> bool:
        """Return whether the server can fork, which it says when it has imported everything."""
        if not self._has_served:
            try:
                self._is_usable = self._has_served = bool(connection.recv(1))
            except OSError:
                self._is_usable = False
        return self._is_usable

    def close(self) -> None:
        """End the server; its forks end with it."""
        with self._lock:
            self._is_usable = False
            if self._connection is not None:
                self._connection.close()
            if self._process is not None:
                self._process.kill()
                self._process.wait()


@dataclass(frozen=True)
class _Surroundings:
    """What can change a candidate's results, of what a process takes over from the one that starts it."""

    variables: dict[str, str]
    folders: list[str]
    processors: set[int]
    limits: list[tuple[int, int]]

    @classmethod
    def now(cls) -> _Surroundings:
        """Return those of this process, on Linux."""
        import resource

        variables = dict(os.environ)
        variables.pop("PYTEST_CURRENT_TEST", None)  # another one in every test
        folders = variables["PYTHONPATH"].split(os.pathsep) if variables.get("PYTHONPATH") else []
        limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT_" in name]
        absolute = [str(Path(folder).absolute()) for folder in folders]
        return cls(variables, absolute, os.sched_getaffinity(0), limits)


def _requested(connection: socket.socket, descriptors: list[int], max_memory: int) -> Keeper | None:
    """Return the keeper that the server forks; None where it cannot fork, or the folder cannot be opened.

    Raises:
        OSError: the server has ended or does not answer.
    """
    try:
        folder = os.open(".", os.O_PATH)
    except OSError:
        return None
    try:
        socket.send_fds(connection, [b"%d" % max_memory], [*descriptors, folder])
    finally:
        os.close(folder)
    answer, keeper, _, _ = socket.recv_fds(connection, 1, 1)
    if not answer:
        raise OSError("the fork server has ended")
    return _Forked(keeper[0]) if keeper else None


class ForkServers:
    """The server for users' candidates, and the one for built-in candidates."""

    def __init__(self) -> None:
        self._each = {built_in: ForkServer(built_in=built_in) for built_in in (False, True)}

    def of(self, spec: str) -> ForkServer:
        """Return the server for a candidate."""
        return self._each[":" not in spec]

    @property
    def fit(self) -> bool:
        """Whether both do, see `ForkServer.fits`."""
        return all(server.fits for server in self._each.values())

    def close(self) -> None:
        """End both; their forks end with them."""
        for server in self._each.values():
            server.close()


_shared: list[ForkServers] = []


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Let all that starts workers meanwhile use the same fork servers, an outer `shared`'s if those fit."""
    with servers() as forks:
        _shared.append(forks)
        try:
            yield
        finally:
            _shared.remove(forks)


def begin(specs: Iterable[str]) -> None:
    """Start the shared servers that these candidates need, without waiting; none where none are shared."""
    if _shared and _shared[-1].fit:
        for spec in specs:
            _shared[-1].of(spec).begin()


@contextlib.contextmanager
def servers() -> Iterator[ForkServers]:
    """Give the shared fork servers; where none fit, some of its own, closed at the end."""
    if _shared and _shared[-1].fit:
        yield _shared[-1]
        return
    ours = ForkServers()
    try:
        yield ours
    finally:
        ours.close()


def _duplicate(descriptor: int) -> int:
    """Return a copy of a descriptor; itself where this process may open no more."""
    try:
        return os.dup(descriptor)
    except OSError:
        return descriptor


class _Forked:
    """A keeper that is not our child, known by its process descriptor, which is open until it has ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, os.close, descriptor)

    def wait(self, timeout: float | None = None) -> None:
        with self._lock:
            if not self._close.alive:
                return
            watched = _duplicate(self._descriptor)  # another thread that waits may close ours
        try:
            ended = select.poll()
            ended.register(watched, select.POLLIN)
            if not ended.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired(PROGRAM.name, timeout or 0.0)
        finally:
            if watched != self._descriptor:
                os.close(watched)
        with self._lock:
            self._close()

    def send_signal(self, number: int) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._close.alive:
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
