"""The process above a worker: it survives whatever the candidate does, and leaves no process behind.

The worker's program forks once, at its start, while it has a single thread and no candidate:
the child becomes the worker, and the parent its keeper. The keeper

* is the subreaper of all that the candidate starts (Linux), so that a daemon with a session
  of its own is still found and killed;
* ends everything when the lifeline to the harness closes, hence also when the harness is
  killed; the worker in turn dies with its keeper (PR_SET_PDEATHSIG, Linux);
* reports over the lifeline how the worker ended, after all its processes have ended.

PR_SET_PDEATHSIG follows the thread that forked, which is why no worker is a child of the
harness itself, where threads come and go. Standard library only, no room imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

__all__ = ["bind_to_parent", "supervise"]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PAUSE_SECONDS = 0.002  # a killed process needs about so long to end
SWEEP_SECONDS = 8.0  # many daemons on a busy machine; what is left then waits for the kernel, not for us
PARENT_CHECK_SECONDS = 1.0  # should a forked sibling of the harness hold the lifeline open


def supervise(worker: int, lifeline: socket.socket) -> None:
    """Wait until the worker or the harness ends, leave no process, report, and exit.

    Args:
        worker: the worker's process id, a child of this process and leader of its session.
        lifeline: receives the worker's wait status in decimal.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    status = _wait(worker, lifeline)
    ended = _sweep(worker)
    status = ended if status is None else status
    with contextlib.suppress(OSError):
        lifeline.sendall(b"%d\n" % (signal.SIGKILL if status is None else status))
    os._exit(0)


def bind_to_parent(parent: int) -> None:
    """Make this process die with its parent (Linux), or at once if that is dead."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _wait(worker: int, lifeline: socket.socket) -> int | None:
    """Return the worker's status; None if the harness ended or asks the keeper to end."""
    parent = os.getppid()
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    while os.getppid() == parent:
        status, _ = _reap(worker)
        if status is not None:
            return status
        readable, _, _ = select.select([lifeline, woken], [], [], PARENT_CHECK_SECONDS)
        if lifeline in readable:
            return None
        if woken in readable:
            woken.recv(4096)
    return None


def _reap(worker: int) -> tuple[int | None, bool]:
    """Reap ended children; return the worker's status if it is among them, and whether a child is left."""
    worker_status = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return worker_status, False
        if pid == 0:
            return worker_status, True
        if pid == worker:
            worker_status = status


def _sweep(worker: int) -> int | None:
    """Kill the worker's session and every descendant until none is left; return its status."""
    status, some_left = None, True
    deadline = time.monotonic() + SWEEP_SECONDS
    while some_left and time.monotonic() < deadline:
        for kill, target in [(os.killpg, worker), *((os.kill, pid) for pid in _children())]:
            with contextlib.suppress(OSError):
                kill(target, signal.SIGKILL)
        ended, some_left = _reap(worker)
        status = ended if status is None else status
        if some_left:
            time.sleep(PAUSE_SECONDS)
    return status


def _children() -> list[int]:
    """Return the ids of this process's children (Linux; elsewhere the session is all there is)."""
    me = os.getpid()
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent_of(entry) == me]


def _parent_of(entry: Path) -> int | None:
    try:
        after_name = (entry / "stat").read_text(errors="replace").rpartition(")")[2]
        return int(after_name.split()[1])
    except (OSError, ValueError, IndexError):  # it ended meanwhile
        return None
