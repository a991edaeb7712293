"""A process that forks workers: for a candidate that keeps losing them.

Most of a worker's start goes into the interpreter and NumPy. The fork server has both, and no
candidate: a fork of it takes a tenth of the time, and is a process as clean as a fresh one
with NumPy imported. It is started the ordinary way, so nothing of the harness's threads and
locks is in it, it has a single thread of Python, and it ends with the harness.
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
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

__all__ = ["ForkServer", "Keeper", "Start", "fresh"]

PROGRAM: Final = Path(__file__).with_name("worker.py")
ANSWER_SECONDS: Final = 20.0  # to import NumPy on a busy machine, and to fork


class Keeper(Protocol):
    """The process above a worker."""

    def wait(self, timeout: float | None = None) -> object:
        """Return when it has ended; raise `subprocess.TimeoutExpired` if that takes longer."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, if it lives."""

    def kill(self) -> None:
        """End it at once."""


Start = Callable[[tuple[int, ...], int, int], Keeper]
"""Starts a keeper and its worker: see `fresh`."""


def fresh(handed: tuple[int, ...], stderr: int, max_memory: int) -> Keeper:
    """Start a keeper and its worker from a new interpreter.

    Args:
        handed: descriptors of the connection, the lifeline and the memory.
        stderr: where they write their standard error.
        max_memory: bytes of address space that the candidate may take, 0 for no limit.
    """
    return _started(*map(str, handed), str(max_memory), stderr=stderr, handed=handed)


def _started(*arguments: str, stderr: int, handed: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-W", "ignore", str(PROGRAM), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=handed,
        start_new_session=True,
    )


class ForkServer:
    """Forks keepers with their workers; used from several threads. It is started when first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._is_of_use = hasattr(os, "pidfd_open")

    def start(self, handed: tuple[int, ...], stderr: int, max_memory: int) -> Keeper:
        """Fork a keeper and its worker; see `fresh`, which does it where no server can be had.

        Raises:
            OSError: the server is gone or does not answer; the next start is a fresh one.
        """
        if not self._is_of_use:
            return fresh(handed, stderr, max_memory)
        with self._lock:
            try:
                return self._asked([*handed, stderr], max_memory)
            except OSError:
                self._is_of_use = False
                raise

    def _asked(self, handed: list[int], max_memory: int) -> Keeper:
        if self._connection is None:
            self._connection, theirs = socket.socketpair()
            self._connection.settimeout(ANSWER_SECONDS)
            its = theirs.fileno()
            self._process = _started(str(its), stderr=subprocess.DEVNULL, handed=(its,))
            theirs.close()
        socket.send_fds(self._connection, [b"%d" % max_memory], handed)
        _, descriptors, _, _ = socket.recv_fds(self._connection, 1, 1)
        if not descriptors:
            raise OSError("the fork server is gone")
        return _Forked(descriptors[0])

    def close(self) -> None:
        """End the server; what it forked ends with it."""
        with self._lock:
            self._is_of_use = False
            if self._connection is not None and self._process is not None:
                self._connection.close()
                self._process.kill()
                self._process.wait()


class _Forked:
    """A keeper that is not our child, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ended = select.poll()
        self._ended.register(descriptor, select.POLLIN)
        weakref.finalize(self, os.close, descriptor)

    def wait(self, timeout: float | None = None) -> None:
        if not self._ended.poll(None if timeout is None else 1000 * timeout):
            raise subprocess.TimeoutExpired(PROGRAM.name, timeout or 0.0)

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
