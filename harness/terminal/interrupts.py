"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread is. In a finalizer or a callback from C,
no caller can catch it, and Python prints and drops it; here it is raised again a moment later.
Other errors of such code after an interrupt are not printed.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ATTENTION_SECONDS", "awaited", "keep_interrupts"]

Result = TypeVar("Result")

ATTENTION_SECONDS: Final = 0.25
"""The longest wait of the main thread before it checks for signals.

A signal interrupts no wait if it arrives between the interpreter's last check and the system call,
or on another thread; Ctrl-C would then go unnoticed until the wait ends.
"""

AGAIN_SECONDS: Final = 0.02


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
    interrupted = threading.Event()
    report = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.default_int_handler(number, frame)

    def notice(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            threading.Timer(AGAIN_SECONDS, _interrupt_main_thread).start()
        elif not interrupted.is_set():
            report(unraisable)

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = notice


def _interrupt_main_thread() -> None:
    """Raise SIGINT so that it ends a system call of the main thread."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
