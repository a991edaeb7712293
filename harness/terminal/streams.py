"""Standard output and standard error that a program can rely on.

A reader that ends early, such as `head`, ends the output and not the work: text for a broken pipe
is dropped, so that files are still written and the exit code is still the command's own. A stream
that the parent process closed drops everything. Characters that an encoding lacks are written as
escapes. Any other error of standard output, such as a full disk, is raised once; one of standard
error is dropped, as nobody could see it.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["settle_streams"]

ERRORS: Final = "backslashreplace"


def settle_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr`."""
    sys.stdout = _settled(sys.stdout, dropped=BrokenPipeError)
    sys.stderr = _settled(sys.stderr, dropped=OSError)


def _settled(stream: IO[str] | None, dropped: type[OSError]) -> IO[str]:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8", errors=ERRORS)  # noqa: PTH123 - until the program ends
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if not _is_plain(stream):
        stream.reconfigure(errors=ERRORS)
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno(), dropped)),
        encoding=stream.encoding,
        errors=ERRORS,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _is_plain(stream: io.TextIOWrapper) -> bool:
    """Return whether a stream writes to a file descriptor, unlike a console of Windows or a test's buffer."""
    return isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO)


class _Output(io.FileIO):
    """An open file that fails at most once, so that buffered text does not fail again as Python exits.

    It waits for a reader where the descriptor does not. An interrupt just after a write that wrote a part
    may have that part written twice.

    Args:
        dropped: the errors that are not raised.
    """

    def __init__(self, descriptor: int, dropped: type[OSError]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._dropped = dropped
        self._failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            while not self._failed:
                written: int | None = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])
        except OSError as error:
            self._failed = True
            if not isinstance(error, self._dropped):
                raise
        return memoryview(data).nbytes
