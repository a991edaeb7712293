"""The program of a worker, which calls one candidate and may die of it.

Started by its path (`python -P .../worker.py`), it imports nothing of ours by the rooms'
generic names, so a candidate's own `reference.py`, `harness/` or `reports/` is what its
`import` finds. Only a built-in candidate, which has no colon in its name, is imported from
our rooms. This file forks before any candidate is imported; see `keeper` for why.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["main"]

HERE: Final = Path(__file__).resolve().parent
PRIVATE_NAME: Final = "_softmax_harness"
HIGH_DESCRIPTOR: Final = 200  # out of the way of candidates that close the low ones
DESCRIPTORS: Final = 700  # one is drawn from so many: a write to a fixed number does not hit it


def main() -> None:
    """Fork into keeper and worker; each leaves by `os._exit`.

    Given four numbers, it forks at once. Given the descriptor of a connection, and whether it is for built-in
    candidates, it forks for each request.
    """
    numbers = [int(argument) for argument in sys.argv[1:]]
    del sys.argv[1:]  # a module may read them when it is imported
    _add_private_package()
    control, lifeline, memory, max_memory = numbers if len(numbers) > 2 else _serve_forks(*numbers)
    keeper = importlib.import_module(f"{PRIVATE_NAME}.keeper")
    parent = os.getpid()
    worker = os.fork()
    if worker:
        os.close(control)
        os.close(memory)
        keeper.supervise(worker, socket.socket(fileno=lifeline))
    os.close(lifeline)
    _settle()
    keeper.bind_to_parent(parent)
    server = importlib.import_module(f"{PRIVATE_NAME}.server")
    server.serve(_out_of_the_way(control), _out_of_the_way(memory), max_memory, load, describe, sources)


def _serve_forks(connection: int, built_in: int) -> tuple[int, int, int, int]:
    """Fork at each request; return, in the fork, the arguments of the request (see `fork_server`)."""
    os.close(os.pidfd_open(os.getpid()))  # where the system has none, end before anything is forked
    for name in ("keeper", "server", "loading"):
        importlib.import_module(f"{PRIVATE_NAME}.{name}")
    if built_in:
        _built_ins()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps them
    with socket.socket(fileno=connection) as server:
        server.sendall(b"1")
        while True:
            request, descriptors, _, _ = socket.recv_fds(server, 64, 5)
            if not request:
                os._exit(0)
            child = _forked()
            if child == 0:
                break
            _answer(server, child, descriptors)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    control, lifeline, memory, stderr, folder = descriptors
    os.dup2(stderr, sys.stderr.fileno())
    os.close(stderr)
    os.fchdir(folder)
    os.close(folder)
    return control, lifeline, memory, int(request)


def _forked() -> int | None:
    """Return what `os.fork` does; None where the system has no process left."""
    try:
        return os.fork()
    except OSError:
        return None


def _answer(server: socket.socket, child: int | None, descriptors: list[int]) -> None:
    """Send the process descriptor of a fork, none where there is no fork, and close those that it uses."""
    process = [] if child is None else _process_of(child)
    socket.send_fds(server, [b"1"], process)
    for ours in (*process, *descriptors):
        os.close(ours)


def _process_of(child: int) -> list[int]:
    """Return the process descriptor of a fork; where there is none, end it and return nothing."""
    try:
        return [os.pidfd_open(child)]
    except OSError:  # it has ended, or too many files are open
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
        return []


def load(spec: str) -> Any:
    """Return the candidate of a spec: a user's without importing our rooms, a built-in from them."""
    if ":" in spec:
        return _loading().load_function(spec)
    return _built_ins().load(spec)


def _built_ins() -> ModuleType:
    rooms = str(HERE.parents[2])
    if rooms not in sys.path:
        sys.path.insert(0, rooms)
    return importlib.import_module("harness.subject.candidates")


def describe(spec: str) -> dict[str, Any]:
    """Import a user's candidate; return what it declares, or why it cannot be imported."""
    description: dict[str, Any] = _loading().described(spec)
    return description


def sources(spec: str) -> dict[str, dict[str, str]]:
    """Return the files of a user's candidate that are loaded here; of a built-in, none."""
    loaded: dict[str, dict[str, str]] = _loading().sources_of(spec) if ":" in spec else {}
    return loaded


def _loading() -> ModuleType:
    return importlib.import_module(f"{PRIVATE_NAME}.loading")


def _add_private_package() -> None:
    """Make the files of these two folders importable under a name that no candidate uses."""
    package = ModuleType(PRIVATE_NAME)
    package.__path__ = [str(HERE), str(HERE.parent / "candidates")]
    sys.modules[PRIVATE_NAME] = package


def _settle() -> None:
    """Start a session, and have the system kill this process first when memory runs out."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    faulthandler.enable()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _out_of_the_way(descriptor: int) -> int:
    """Move a descriptor up and keep it from the candidate's own children."""
    import fcntl

    try:
        lowest = HIGH_DESCRIPTOR + int.from_bytes(os.urandom(2)) % DESCRIPTORS
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:  # the limit on open files is lower
        os.set_inheritable(descriptor, False)
        return descriptor
    os.close(descriptor)
    return moved


if __name__ == "__main__":
    main()
