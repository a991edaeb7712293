"""Read and write the files of a user, whole or not at all, with one-line errors."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "LARGEST_TEXT",
    "PART",
    "FileError",
    "error_message",
    "is_known",
    "read_text",
    "writing_atomically",
]

LARGEST_TEXT: Final = 1 << 24
"""The most bytes of a file that people write."""

PART: Final = ".part"
"""The end of a file's name while it is written."""

_REMEDIES: Final = {
    errno.ENOSPC: "free some space, or give another place",
    errno.EDQUOT: "free some space, or give another place",
    errno.EROFS: "give a place that can be written to",
    errno.EACCES: "change its permissions, or give another place",
    errno.EPERM: "change its permissions, or give another place",
    errno.EIO: "check the disk, or give another place",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close some programs, and try again",
    errno.ENOMEM: "free some memory, and try again",
    errno.ENOTDIR: "a part of the path is no folder; give another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its links form a circle; give another path",
    errno.ENOENT: "give a path that exists",
}


class FileError(ValueError):
    """A file that cannot be read or written; the message is one line."""


def error_message(error: OSError, path: Path | str | None = None) -> str:
    """Return a line on what went wrong with a file, and on what helps for known kinds of error."""
    named = error.filename if path is None else path
    remedy = _REMEDIES.get(error.errno or 0, "")
    return "; ".join(filter(None, (f"{named}: {error.strerror or error}", remedy)))


def is_known(error: OSError) -> bool:
    """Return whether the machine causes an error: a disk, a permission, a limit."""
    return error.errno in _REMEDIES


def read_text(path: Path, most: int = LARGEST_TEXT) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Raises:
        FileError: there is none, it is no regular file (which may never end), too large, or other than UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{path}: not a file, but a folder or a device; give the path of a file")
        if status.st_size > most:
            raise FileError(f"{path}: {status.st_size} bytes, more than the {most} that such a file may have")
        with path.open("rb") as file:
            return file.read(most).decode("utf-8-sig")
    except OSError as error:
        raise FileError(error_message(error, path)) from error
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error


@contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file to write, and rename it when all is written; on an error, remove it.

    Raises:
        FileError: it cannot be written.
    """
    aside = path.with_name(f"{path.name}{PART}")
    try:
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
    except OSError as error:
        _forget(aside)
        raise FileError(error_message(error, path)) from error
    except BaseException:
        _forget(aside)
        raise


def _forget(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return
