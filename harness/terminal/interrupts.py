"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread is, and in some places that does harm:

- In a finalizer or a callback from C no caller can catch it, and Python prints and drops it. Here it
  is raised again a moment later. Other errors of such code after an interrupt are not printed.
- During an import, libraries turn it into other errors or go on without it. An interrupt waits for the end
  of the import, at most a second.
- During a call of LLVM, memory is released twice or functions have no address, and the program crashes. An
  interrupt waits for the end of the call.
"""

from __future__ import annotations

import _thread
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypeVar

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
"""The longest time that imports and Numba hold an interrupt. A user's module may never end, and a kernel may
take many seconds to compile."""

ECHO_SECONDS: Final = 2.0
"""For so long after an interrupt, other errors count as its consequences."""


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
    """Hold interrupts back from the main thread until the block ends; elsewhere it does nothing.

    Processes that are started in the block stay deaf to interrupts. The mask alone would not do: a library's
    thread may receive the signal, and Python then calls the handler in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    mask: Callable[..., Any] = getattr(signal, "pthread_sigmask", lambda *_: None)
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        mask(signal.SIG_SETMASK, before)
        for number in heard[:1]:
            signal.raise_signal(number)


def was_interrupted() -> bool:
    """Return whether an interrupt was raised lately; a library may have made another error of it."""
    interrupts = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return isinstance(interrupts, _Interrupts) and interrupts.echoes


class _Interrupts:
    """Raises each interrupt where it does no harm: at once or a moment later."""

    def __init__(self, report: Callable[[sys.UnraisableHookArgs], object]) -> None:
        self._report = report
        self._raised = -math.inf
        self._held_since: float | None = None
        self._coming: object = None  # the one that is to come, until the main thread hears

    @property
    def echoes(self) -> bool:
        """Whether one was raised so lately that other errors may be its consequences."""
        return time.monotonic() - self._raised < ECHO_SECONDS

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        self._coming = None
        packages = _packages(frame)
        now = time.monotonic()
        since = self._held_since or now
        if "llvmlite" in packages or (packages & _HOLDING and now - since < HELD_SECONDS):
            self._held_since = since
            self._come_again()
            return
        self._held_since, self._raised = None, now
        signal.default_int_handler(number, frame)

    def notice(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Handle an exception that no caller can catch."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            self._come_again()
        elif not self.echoes:
            self._report(unraisable)

    def _come_again(self) -> None:
        """Interrupt the main thread a moment later, once.

        The thread is a bare one. `threading` takes a lock that the main thread may hold, and `can_fork`
        counts its threads.
        """
        self._coming = coming = object()
        _thread.start_new_thread(self._come, (coming,))

    def _come(self, coming: object) -> None:
        """Interrupt the main thread until it hears.

        It may just have let this thread run in order to wait, and then sleeps through the signal.
        """
        seconds = AGAIN_SECONDS
        time.sleep(seconds)
        while self._coming is coming:
            _interrupt_main_thread()
            time.sleep(seconds)
            seconds = min(2 * seconds, ATTENTION_SECONDS)


_HOLDING: Final = frozenset({"importlib", "numba"})


def _packages(frame: FrameType | None) -> set[str]:
    """Return the top-level packages of a frame and of all its callers."""
    packages = set()
    while frame is not None:
        packages.add(str(frame.f_globals.get("__name__", "")).partition(".")[0])
        frame = frame.f_back
    return packages


def _interrupt_main_thread() -> None:
    """Raise SIGINT so that it ends a system call of the main thread."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
