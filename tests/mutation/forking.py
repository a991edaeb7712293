"""A forked process with its own pytest session: what it loads, changes or breaks is gone with it.

The libraries are imported once, before the fork, so that a session starts in a third of a second. The
program's own modules never are: each session imports them, as changed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["Outcome", "forked", "keep_no_kernels", "preload", "pytest_session", "tell"]

Outcome = dict[str, Any]

_LIBRARIES: Final = (
    "numpy",
    "numba",
    "numba.np.ufunc",
    "pandas",
    "pyarrow.parquet",
    "ml_dtypes",
    "mpmath",
    "gmpy2",
    "flint",
    "scipy.special",
    "scipy.stats",
    "jinja2",
    "pydantic",
    "typer",
    "rich.progress",
    "sqlite3",
    "hypothesis.strategies",
    "hypothesis.extra.numpy",
    "pytest",
)

_MEMORY: Final = 8 << 30


def preload() -> None:
    """Import the libraries that sessions need, and make them repeatable."""
    for library in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    import hypothesis

    hypothesis.settings.register_profile("mutation", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutation")


def forked(work: Callable[[], Outcome], folder: Path, cpu_seconds: float) -> Outcome:
    """Return what the work returns in a process of its own, or how that ended.

    Args:
        work: runs in the child, with its output in `folder`/log.
        folder: for the log and the outcome.
        cpu_seconds: after so many the child is ended; or after ten times as many by the clock.
    """
    told = folder / "outcome.json"
    told.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _become(work, folder, told, cpu_seconds)
    return _await(child, told, time.monotonic() + 10 * cpu_seconds)


def _become(work: Callable[[], Outcome], folder: Path, told: Path, cpu_seconds: float) -> None:
    try:
        os.setsid()
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((null, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds) + 1, int(cpu_seconds) + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        told.write_text(json.dumps(work()), encoding="utf-8")
    except BaseException:  # noqa: BLE001 - whatever a mutant does ends here
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(0)


def _await(child: int, told: Path, deadline: float) -> Outcome:
    late = False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            late = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it left behind
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return {"status": "timed out"}
    if not told.exists():
        return {"status": "crashed"}
    outcome: Outcome = json.loads(told.read_text(encoding="utf-8"))
    return outcome


def pytest_session(files: list[str], plugin: object, folder: Path) -> int:
    """Run a pytest session over test files in this process, and return its exit status."""
    import pytest

    options = [
        "-q",
        "-x",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:unraisableexception",  # libraries warn of forks, of which this makes many
        f"--basetemp={folder / 'pytest'}",
    ]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the libraries are here already
    return int(pytest.main([*options, *files], plugins=[plugin]))


def keep_no_kernels() -> None:
    """Leave no kernel that is compiled in this process, from here on, in numba's cache for others."""
    from numba.core.caching import Cache

    Cache.save_overload = lambda *_: None


def tell(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
