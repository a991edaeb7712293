"""`python -m harness` and the console script `softmax-harness`."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys

# `python -m` puts the current folder first; nothing in it may pass for a module of ours or
# of the standard library. `harness.rooms` puts back what is needed.
try:
    _HERE = os.path.realpath(os.curdir)
except OSError as gone:
    sys.stderr.write(f"error: the current folder is gone ({gone.strerror}); change to one that is there\n")
    sys.exit(2)
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != _HERE]

from typing import NoReturn  # noqa: E402 - once the path is safe

from harness.rooms import secure  # noqa: E402 - once the path is safe
from harness.terminal.exceptions import HarnessError  # noqa: E402 - once the path is safe
from harness.terminal.interrupts import keep_interrupts  # noqa: E402 - once the path is safe
from harness.terminal.streams import settle_streams  # noqa: E402 - once the path is safe

__all__ = ["main"]

INTERRUPTED = 130

COLLECTED_AFTER = 10_000
"""After so many new objects Python looks for cycles. This program makes few. Python's own number,
700, costs a tenth of a run."""


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        gc.set_threshold(COLLECTED_AFTER)
        keep_interrupts()
        settle_streams()
        with contextlib.suppress(OSError, ValueError):  # stderr may be no file
            faulthandler.enable()  # a crash in native code says where
        secure()
        from harness.cli import run

        _leave(run(sys.argv[1:]))
    except HarnessError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)


def _end(message: str, code: int) -> NoReturn:
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
    print(f"error: {shown}", file=sys.stderr)  # noqa: T201 - before there is a console
    _leave(code)


def _leave(code: int) -> NoReturn:
    """Exit; after an interrupt at once, without waiting for threads in the midst of a computation.

    From here on an interrupt comes too late. Python takes its handler down as it ends, and one that
    arrives then would kill a program whose work is done.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # the last collections would look at all that is held, which takes up to 0.4 s
    if code == INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
