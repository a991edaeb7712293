"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finalizer, or a callback
from C, it is printed and dropped, as no caller is there to catch it; here it is raised once more
a moment later. What else such code says once the user has interrupted it is kept quiet.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Final

__all__ = ["ATTENTION_SECONDS", "keep_interrupts"]

ATTENTION_SECONDS: Final = 0.25
"""The longest that the main thread waits without a look at signals.

One that arrives between the interpreter's last look and the system call in which it then waits, or
on another thread, interrupts no wait; Ctrl-C would go unnoticed until the wait ends.
"""

AGAIN_SECONDS: Final = 0.02


def keep_interrupts() -> None:
    """See that an interrupt reaches the program, from now on; one that is ignored stays so."""
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
    """Raise SIGINT where a system call that the main thread waits in ends by it."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
