"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread is, and in some places that does harm:

- In a finalizer or a callback from C no caller can catch it, and Python prints and drops it. Here it
  is raised again a moment later. Other errors of such code after an interrupt are not printed.
- In the midst of an import, libraries turn it into other errors or go on without it. An interrupt
  waits until the import has ended.
- In the midst of a call of LLVM, memory is released twice or functions have no address, and the
  program crashes. An interrupt waits until Numba has its kernel.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

__all__ = ["ATTENTION_SECONDS", "awaited", "held_back", "keep_interrupts", "was_interrupted"]

Result = TypeVar("Result")

ATTENTION_SECONDS: Final = 0.25
"""The longest wait of the main thread before it checks for signals.

A signal interrupts no wait if it arrives between the interpreter's last check and the system call,
or on another thread; Ctrl-C would then go unnoticed until the wait ends.
"""

AGAIN_SECONDS: Final = 0.02

HELD_SECONDS: Final = 1.0
"""The longest time that imports and Numba hold an interrupt. A module of a user may never end, and to
compile a kernel takes longer."""


def awaited(future: Future[Result]) -> Result:
    """Return a future's result when it is there, attentive to signals meanwhile."""
    from concurrent.futures import wait

    while not future.done():
        wait([future], timeout=ATTENTION_SECONDS)
    return future.result()


def keep_interrupts() -> None:
    """Make every interrupt reach the program from now on; an ignored one stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    interrupts = _Interrupts(sys.unraisablehook)
    signal.signal(signal.SIGINT, interrupts.hear)
    sys.unraisablehook = interrupts.notice


@contextmanager
def held_back() -> Iterator[None]:
    """Hold interrupts back from this thread until the block ends, and from threads and processes it starts.

    Those stay deaf to interrupts.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def was_interrupted() -> bool:
    """Return whether an interrupt was raised; a library may have made another error of it."""
    interrupts = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return isinstance(interrupts, _Interrupts) and interrupts.raised


class _Interrupts:
    """Raises each interrupt where it does no harm: at once or a moment later.

    Attributes:
        raised: whether one was raised.
    """

    def __init__(self, report: Callable[[sys.UnraisableHookArgs], object]) -> None:
        self._report = report
        self.raised = False
        self._held_since: float | None = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        packages = _packages(frame)
        now = time.monotonic()
        since = self._held_since or now
        if "llvmlite" in packages or (packages & _HOLDING and now - since < HELD_SECONDS):
            self._held_since = since
            _interrupt_again()
            return
        self._held_since = None
        self.raised = True
        signal.default_int_handler(number, frame)

    def notice(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Handle an exception that no caller can catch."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            _interrupt_again()
        elif not self.raised:
            self._report(unraisable)


_HOLDING: Final = frozenset({"importlib", "numba"})


def _packages(frame: FrameType | None) -> set[str]:
    """Return the top-level packages of a frame and of all its callers."""
    packages = set()
    while frame is not None:
        packages.add(str(frame.f_globals.get("__name__", "")).partition(".")[0])
        frame = frame.f_back
    return packages


def _interrupt_again() -> None:
    """Interrupt the main thread a moment later.

    A signal handler calls this, so it takes no lock: `threading` would take one that the main thread
    may hold. Until then there is no other thread, so that the program can be copied.
    """
    _thread.start_new_thread(_interrupt_main_thread, ())


def _interrupt_main_thread() -> None:
    """Raise SIGINT so that it ends a system call of the main thread."""
    time.sleep(AGAIN_SECONDS)
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
