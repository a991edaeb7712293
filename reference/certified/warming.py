"""Compiling the kernels before they are needed, in two processes where there is much to do.

numba compiles a kernel at its first call and keeps it in its on-disk cache, from which
later processes load it. A kernel has one signature, whatever the format. numba compiles one at a time in a
process; so where this one compiles, another compiles what it would come to last.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import numpy as np
from numba.core.event import Event, Listener, install_listener

from reference.certified.evaluation import evaluate
from reference.certified.layout import SHORT
from reference.certified.tiers import truth_certified
from reference.certified.verdict import judge_certified
from reference.formats import FORMATS
from reference.model import Truth

__all__ = ["prepare", "warm_evaluation", "warm_verdict"]

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PROGRAM: Final = "import sys; from reference.certified.warming import help_out; help_out(sys.argv[1:])"
_VERDICT: Final = "reference.certified.warming:warm_verdict"


def prepare(announce: Callable[[], None] = lambda: None, also: Sequence[str] = ()) -> None:
    """Load or compile the kernels of truth and verdict; call `announce` once if it compiles.

    Args:
        announce: says that this takes its time.
        also: `module:function` of what calls further kernels.
    """
    later = (_VERDICT, *also)
    helper = _Helper(later)

    def compiles() -> None:
        announce()
        helper.start()

    try:
        with install_listener("numba:compile", _First(compiles)):  # the event is not one of loading
            _warm_truth()
            helper.wait()
            warm(later)
    finally:
        helper.stop()


def warm(names: Sequence[str]) -> None:
    """Call each `module:function`."""
    for name in names:
        module, _, function = name.partition(":")
        getattr(import_module(module), function)()


def help_out(names: Sequence[str]) -> None:
    """Do as `warm`, for as long as the process lives that holds the other end of standard input."""

    def end_with_the_other() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when Python ends
            pass
        os._exit(1)

    Thread(target=end_with_the_other, daemon=True).start()
    warm(names)


def warm_verdict() -> None:
    """Load or compile the kernels of `judge_certified`."""
    zeros, one = np.zeros((1, 2)), np.zeros(1, dtype=np.uint8)
    judge_certified(zeros, Truth(FORMATS["float64"], zeros, zeros, one))


def warm_evaluation() -> None:
    """Load or compile the kernels of `evaluate`."""
    zeros = np.zeros((1, 2))
    evaluate(zeros, zeros, FORMATS["float64"])


def _warm_truth() -> None:
    for fmt in (FORMATS["float32"], FORMATS["float64"]):
        for x in (np.zeros((1, 2)), np.zeros((1, SHORT)), np.array([[0.0, -1e-30]])):  # short, long, near tie
            truth_certified(x, fmt)


class _First(Listener):
    """Calls a function at the first event."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def on_start(self, _: Event) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()

    def on_end(self, _: Event) -> None:
        pass


class _Helper:
    """Another process that compiles into the same cache; where it fails, this one does all by itself."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._lock = names, Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = (os.cpu_count() or 1) > 1

    def start(self) -> None:
        """Start it, unless it is too late or there is but one processor."""
        with self._lock:
            if self._wanted:
                self._wanted = False
                path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
                self._process = subprocess.Popen(  # noqa: S603 - this very program
                    [sys.executable, "-P", "-c", _PROGRAM, *self._names],
                    env={**os.environ, "PYTHONPATH": path},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def wait(self) -> None:
        """Wait until it is done, if it was started."""
        with self._lock:
            self._wanted = False
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """End it if it runs, and start none from now on."""
        with self._lock:
            self._wanted = False
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
