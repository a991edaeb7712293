"""The SQLite file of a ledger: connections, transactions, the writer's lock, one-line errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["DAMAGED", "LedgerError", "connect", "connect_for_reading", "reporting", "transaction"]


class LedgerError(ValueError):
    """A ledger that cannot be used; the message is one line. Its content is unchanged.

    Attributes:
        anew: the message where the command cannot go on with a run.
    """

    @property
    def anew(self) -> str:
        """The message without the next step."""
        return str(self).replace(_THEN_RESUME, ", then begin anew").replace(_RESUME_IT, "")


DAMAGED: Final = "the ledger is damaged or truncated; nothing was changed; restore it, or give another --out"
"""The message about a ledger with inconsistent content."""

_THEN_RESUME: Final = ", then --resume"
_RESUME_IT: Final = "--resume it, or "

_REASONS: Final = {
    sqlite3.SQLITE_NOTADB: "not a ledger of this program; give the folder of a run",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_FULL: "the disk is full; what was recorded is kept; free some space, then --resume",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; what was recorded is kept",
    sqlite3.SQLITE_READONLY: "not writable; change its permissions, or give another --out",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the folder and its permissions",
    sqlite3.SQLITE_BUSY: "another process holds it; wait until that is done, then --resume",
}


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a `LedgerError` of one line."""
    try:
        yield
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes keep theirs above
        raise LedgerError(f"{path}: {_REASONS.get(primary, str(error))}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write everything in the block or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def writer_lock(path: Path) -> sqlite3.Connection:
    """Take the writer's lock, until the connection is closed or the process ends.

    Raises:
        LedgerError: another process, or another ledger of this one, writes here.
    """
    lock = sqlite3.connect(path.with_name("run.lock"), timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise LedgerError(
            f"{path}: another run is writing here; wait until it ends, or give another --out"
        ) from error
    return lock


def connect(path: Path, options: str) -> sqlite3.Connection:
    """Connect with the options of an SQLite URI, such as `mode=rw`; the caller begins transactions."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None)


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Connect without writing to the file.

    A write-ahead log asks readers to create its index, which a folder that cannot be written
    to forbids; a finished run has no log left, and may be read as one that does not change.
    """
    connection = connect(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        connection.close()
        unreadable = isinstance(error, sqlite3.OperationalError)
        if unreadable and not path.with_name(f"{path.name}-wal").exists():
            return connect(path, "mode=ro&immutable=1")
        raise
    return connection
