"""The ledger of a run: one SQLite file, the single source of all else in the run folder.

Shards are recorded one transaction each, so that a run killed at any moment keeps every shard
recorded before. While it is written there is a write-ahead log, with `synchronous=NORMAL`: that
outlives the death of a process at any instruction; after a power cut the last shards may be missing,
never torn (https://www.sqlite.org/pragma.html#pragma_synchronous), and a resumed run measures them
again.

One writer at a time: it holds an exclusive SQLite transaction on the empty file `run.lock`
beside the ledger. SQLite's locks belong to the process, are not inherited by workers that it
forks, and end with it, also by SIGKILL. Readers need no lock and see the shards recorded so far.
"""

from __future__ import annotations

import json
import platform
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Self, get_args

from reports.record.documents import DOCUMENTS, KIND, SETTINGS
from reports.record.program import Program
from reports.record.schema import ANYTHING, Malformed, inflated, one_of, parsed
from reports.record.sqlite import (
    DAMAGED,
    LedgerError,
    connect,
    connect_for_reading,
    reporting,
    transaction,
    writer_lock,
)
from reports.record.tally import Tally, merge, plain
from reports.record.witness import CELL, CellKey, Witness

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "CellInfo",
    "Ledger",
    "LedgerError",
    "Place",
    "Status",
    "packed",
]

APPLICATION_ID: Final = 0x534D5848
"""The application id of a ledger in its SQLite file: "SMXH"."""

SCHEMA_VERSION: Final = 2
"""Raised whenever the tables, or the documents in them, change their meaning."""

Status = Literal["ok", "crashed", "timed_out", "unsupported", "not_tried"]

_SCHEMA: Final = """
CREATE TABLE setting  (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE document (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cell (
    id INTEGER PRIMARY KEY, candidate TEXT NOT NULL, op TEXT NOT NULL, format TEXT NOT NULL,
    out_format TEXT NOT NULL, regime TEXT NOT NULL, length INTEGER NOT NULL,
    sampled INTEGER NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL,
    UNIQUE (candidate, op, format, out_format, regime, length));
CREATE TABLE place (
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, kind TEXT NOT NULL, UNIQUE (host, kind));
CREATE TABLE shard (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seconds REAL NOT NULL,
    place INTEGER REFERENCES place);
CREATE TABLE tally (
    cell INTEGER NOT NULL REFERENCES cell, shard INTEGER NOT NULL REFERENCES shard,
    value BLOB NOT NULL, UNIQUE (cell, shard));
"""


def _written_tables() -> list[tuple[str, str, str | None]]:
    """Return the schema that SQLite records for these tables alone, without views and triggers."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY rowid").fetchall()


_TABLES: Final = _written_tables()

TALLY_BYTES: Final = 1 << 26
ROW_BYTES: Final = 64
"""The most bytes of a tally, and the most for each entry of a row: a tally holds the bits of a few rows."""

_CREATED: Final = "begun"
"""The document that records where the ledger was created."""

_PROGRAM: Final = "program"

_MERGED_AT_ONCE: Final = 16  # bounds the memory that a cell of many shards takes

_HELD_BYTES: Final = 5 << 22
"""A run reads each of its tallies twice, so some stay in memory: as many as take these bytes when packed, as
those of a default run do. In memory they take up to twelve times as many."""


@dataclass(frozen=True)
class CellInfo:
    """A planned cell.

    Attributes:
        key: the cell.
        sampled: whether its rows are drawn independently, so that intervals apply.
        status: of its shards so far.
        message: why, where the status is not ok.
    """

    key: CellKey
    sampled: bool
    status: Status = "ok"
    message: str = ""


@dataclass(frozen=True)
class Place:
    """Where a shard was measured.

    Attributes:
        host: the machine's name.
        kind: a JSON document of the machine's parts that can change figures; equal kinds give equal figures.
    """

    host: str
    kind: str


class Ledger:
    """A ledger that is open, for reading or for writing; close it, or use it in a `with`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._held: dict[CellKey, Tally] = {}
        self._sizes: dict[CellKey, int] = {}
        self._room = _HELD_BYTES

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any], cells: Sequence[CellInfo]) -> Ledger:
        """Create a ledger at `path` and open it for writing.

        Args:
            path: the file; there must be none.
            settings: a JSON document of the settings that determine the figures.
            cells: the plan, in the order in which reports show it.

        Raises:
            LedgerError: there is a file already, another run writes here, or the disk is full.
        """
        with reporting(path), closing(writer_lock(path)):
            _write_new(path, settings, cells)
        return cls.open(path, settings)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any] | None = None) -> Ledger:
        """Open the ledger at `path`: for reading, or with `settings` to continue writing.

        Raises:
            LedgerError: there is none, it is no ledger, damaged, of another schema version or of
                other settings, or another run is writing it.
        """
        if not path.is_file():
            raise LedgerError(f"{path}: there is no run here; give the folder of a run")
        with reporting(path), ExitStack() as held:
            lock = None if settings is None else held.enter_context(closing(writer_lock(path)))
            connection = connect_for_reading(path) if settings is None else connect(path, "mode=rw")
            held.callback(connection.close)
            ledger = cls(path, connection, lock)
            ledger._check(settings)
            if lock is not None:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            held.pop_all()
            return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, remove its log if nobody reads it, and release the writer's lock."""
        with reporting(self.path), ExitStack() as closing_all:
            if self._lock is not None:
                closing_all.callback(self._lock.close)
                with suppress(sqlite3.Error):  # a reader is at it, or the disk is full: the log is as good
                    self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()

    # Reading -------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return the settings that the ledger was created with."""
        rows = self._select("SELECT name, value FROM setting ORDER BY rowid")
        with self._reading("settings"):
            settings = {str(name): parsed(_text(value)) for name, value in rows}
            SETTINGS(settings, "")
        return settings

    def cells(self) -> list[CellInfo]:
        """Return the planned cells in order, each with its current status."""
        return [info for _, info in self._cells()]

    def finished(self) -> set[str]:
        """Return the names of the shards recorded."""
        return {str(name) for (name,) in self._select("SELECT name FROM shard")}

    def seconds(self) -> float:
        """Return the total time of the recorded shards."""
        [(total,)] = self._select("SELECT total(seconds) FROM shard")
        return float(total)

    def places(self) -> list[Place]:
        """Return the places where shards were measured."""
        rows = self._select("SELECT host, kind FROM place ORDER BY id")
        with self._reading("places"):
            for _, kind in rows:
                KIND(parsed(_text(kind)), "")
            return [Place(_text(host), kind) for host, kind in rows]

    def cells_of(self, place: Place) -> list[CellKey]:
        """Return the cells of which shards were measured at a place, in the plan's order."""
        columns = ", ".join(f"cell.{f.name}" for f in fields(CellKey))
        rows = self._select(
            f"SELECT DISTINCT cell.id, {columns} FROM place"  # noqa: S608
            " JOIN shard ON shard.place = place.id JOIN tally ON tally.shard = shard.id"
            " JOIN cell ON cell.id = tally.cell WHERE place.host = ? AND place.kind = ? ORDER BY cell.id",
            *astuple(place),
        )
        with self._reading("places"):
            return [_cell_key(key) for _, *key in rows]

    def tallies(
        self, known: Mapping[CellKey, Tally] = MappingProxyType({})
    ) -> Iterator[tuple[CellInfo, Tally]]:
        """Yield each cell with the tally of all its shards, in the plan's order.

        Beside those held, one cell is in memory at a time. A cell without shards yields an empty tally,
        one with a single shard that shard's own.

        Args:
            known: tallies that need not be read, as the caller has them.
        """
        for number, info in self._cells():
            yield info, known.get(info.key) or self._held.get(info.key) or self._tally(number, info.key)

    def held(self) -> Mapping[CellKey, Tally]:
        """Return the whole tallies that were recorded here and need not be read; see `tallies`."""
        return MappingProxyType(self._held)

    def recorded(self) -> Iterator[tuple[CellInfo, list[bytes]]]:
        """Yield each cell with the `packed` tallies of its shards, unchecked, in the plan's order."""
        query = "SELECT value FROM tally WHERE cell = ? ORDER BY shard"
        for number, info in self._cells():
            yield info, [value for (value,) in self._select(query, number)]

    def shard_witnesses(self, key: CellKey) -> Iterator[Witness]:
        """Yield the witnesses that the shards of a cell recorded, including those that merging drops."""
        with reporting(self.path):
            query = "SELECT value FROM tally WHERE cell = ? ORDER BY shard"
            for (value,) in self._connection.execute(query, (self._number(key),)):
                yield from self.unpacked(value, key).witnesses

    def get(self, name: str) -> Any:
        """Return the document of that name; None where there is none."""
        rows = self._select("SELECT value FROM document WHERE name = ?", name)
        if not rows:
            return None
        with self._reading(name):
            document = parsed(_text(rows[0][0]))
            if document is not None:
                DOCUMENTS.get(name, ANYTHING)(document, "")
        return document

    def document_witnesses(self) -> Iterator[Witness]:
        """Yield the witnesses of the documents `claims`, `checks`, `shrunk` and `faulty`, each once."""
        listed = [w for claim in self.get("claims") or () for w in claim.get("witnesses", ())]
        listed += [check["witness"] for check in self.get("checks") or () if check.get("witness")]
        listed += (self.get("shrunk") or {}).values()
        listed += self.get("faulty") or ()
        with self._reading("a witness"):
            witnesses = [Witness.from_document(w) for w in listed]
        yield from dict.fromkeys(witnesses)

    def is_local(self) -> bool:
        """Return whether the ledger was created in this file on this machine, not copied or sent here."""
        return bool(self.get(_CREATED) == _place_of(self.path))

    def program(self) -> Program | None:
        """Return the programs that the figures are of; None where that is not recorded."""
        document = self.get(_PROGRAM)
        if document is None:
            return None
        with self._reading(_PROGRAM):
            return Program.from_document(document)

    def small(self) -> dict[str, str]:
        """Return the id of the shrunk witness for each witness, by its id; its own where it is small."""
        small: dict[str, str] = self.get("small") or {}
        return small

    def shrunk(self) -> dict[str, Witness]:
        """Return the shrunk witnesses, by the ids of the original ones."""
        documents = (self.get("shrunk") or {}).items()
        with self._reading("a witness"):
            made = {identity: Witness.from_document(w) for identity, w in documents}
        by_id = {witness.id: witness for witness in made.values()}
        return made | {id_: by_id[small] for id_, small in self.small().items() if small in by_id}

    # Writing -------------------------------------------------------------------------------

    def record(
        self,
        shard: str,
        tallies: Mapping[CellKey, Tally | bytes],
        seconds: float,
        place: Place | None = None,
        whole: Mapping[CellKey, Tally] = MappingProxyType({}),
    ) -> None:
        """Record the tallies of a shard, all or none.

        Args:
            shard: its name.
            tallies: by cell, as they are or `packed`.
            seconds: how long it took.
            place: where it was measured, if known.
            whole: the tallies before they were packed, where the caller has them.

        Raises:
            LedgerError: the shard is recorded already, a cell is not in the plan, or the disk is full.
        """
        numbers = {key: self._number(key) for key in tallies}
        if self._select("SELECT 1 FROM shard WHERE name = ?", shard):
            raise LedgerError(f"{self.path}: shard {shard!r} is recorded already; each counts once")
        values = {key: t if isinstance(t, bytes) else packed(t) for key, t in tallies.items()}
        begun = self._begun
        with self._transaction() as db:
            where = None if place is None else _place_number(db, place)
            cursor = db.execute(
                "INSERT INTO shard (name, seconds, place) VALUES (?, ?, ?)", (shard, seconds, where)
            )
            db.executemany(
                "INSERT INTO tally VALUES (?, ?, ?)",
                ((numbers[key], cursor.lastrowid, value) for key, value in values.items()),
            )
        for key, value in values.items():
            if numbers[key] in begun:
                self._let_go(key)
            elif key in whole:
                self._hold(key, whole[key], len(value))
        begun.update(numbers.values())

    def put_program(self, program: Program) -> None:
        """Record the programs that the figures are of."""
        self.put(_PROGRAM, program.document())

    def put(self, name: str, document: Any) -> None:
        """Record a JSON document under a name, replacing an earlier one; NaN becomes null.

        Reports draw these: `claims`, a list with id, statement, source, verdict, explanation, figures and
        witnesses (documents or lines of `Witness`) in each; `findings`, a list with kind, candidate and
        message; `checks`, a list with check, kind, candidate, format, status, rows, broken, message and
        witness; `shards` and `pairs`, how many shards, and pairs of candidate and format to check, the plan
        has; `verdicts`, a list of documents of `verdicts.Verdict`; `comparison`, with base, the
        counts better, worse, equal and incomparable, and a list of changes with change (better or worse),
        metric, candidate, format, regime, length, before and after; `search`, a list with candidate, format,
        length, objective, evaluations and curve (pairs of evaluations and best so far); `command`, a list of
        words; `selftest`, see `reports.selftest`; `explanations`, a list with candidate, format, out_format
        and line, and what `harness explain --json` prints; `environment` and `timing`, whatever they hold.
        """
        text = _json(document)
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO document VALUES (?, ?)", (name, text))

    # Within --------------------------------------------------------------------------------

    def _check(self, settings: Mapping[str, Any] | None) -> None:
        [(application,)] = self._select("PRAGMA application_id")
        if application != APPLICATION_ID:
            raise LedgerError(f"{self.path}: not a ledger of this program; give the folder of a run")
        [(version,)] = self._select("PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path}: schema version {version}, this program reads {SCHEMA_VERSION};"
                " use the program's version that wrote it"
            )
        if self._select("SELECT type, name, sql FROM sqlite_master ORDER BY rowid") != _TABLES:
            raise LedgerError(f"{self.path}: its tables are not those of this program; {DAMAGED}")
        [(verdict,)] = self._select("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise LedgerError(f"{self.path}: {DAMAGED}")
        if settings is not None:
            self._compare(json.loads(_json(settings)))

    def _compare(self, wanted: Mapping[str, Any]) -> None:
        held = self.settings()
        for name in (*wanted, *held):
            if name not in held or name not in wanted or held[name] != wanted[name]:
                there, here = (_short(side.get(name, "not set")) for side in (held, wanted))
                raise LedgerError(
                    f"{self.path}: run with other settings: {name} was {there}, now {here};"
                    " give the settings of that run, another --out, or --overwrite"
                )

    def _cells(self) -> list[tuple[int, CellInfo]]:
        rows = self._select("SELECT * FROM cell ORDER BY id")
        with self._reading("cells"):
            return [
                (number, CellInfo(_cell_key(key), bool(sampled), _status(status), _text(message)))
                for number, *key, sampled, status, message in rows
            ]

    def _tally(self, cell: int, key: CellKey) -> Tally:
        parts: list[Tally] = []
        with reporting(self.path):
            for (value,) in self._connection.execute("SELECT value FROM tally WHERE cell = ?", (cell,)):
                parts.append(self.unpacked(value, key))
                if len(parts) == _MERGED_AT_ONCE:
                    parts = [merge(parts)]
        return parts[0] if len(parts) == 1 else merge(parts)

    def unpacked(self, value: Any, key: CellKey) -> Tally:
        """Return a tally of a cell from its record.

        Raises:
            LedgerError: it is not what `packed` gave.
        """
        text = self._inflated(value, key)
        with self._reading(f"a tally of {key}"):
            return Tally.from_json(text)

    def _inflated(self, value: Any, key: CellKey) -> bytes:
        with self._reading(f"a tally of {key}"):
            if not isinstance(value, bytes):
                raise Malformed("it is no blob")
            return inflated(value, TALLY_BYTES + ROW_BYTES * key.length)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn errors about the content of the ledger into a `LedgerError` of one line."""
        try:
            yield
        except ValueError as error:
            raise LedgerError(f"{self.path}: {what} cannot be read ({error}); {DAMAGED}") from error

    def _number(self, key: CellKey) -> int:
        if key not in self._numbers:
            raise LedgerError(f"{self.path}: {key} is not in the plan of this run")
        return self._numbers[key]

    @cached_property
    def _numbers(self) -> dict[CellKey, int]:
        """The numbers of the cells; the plan is fixed when the ledger is created."""
        return {info.key: number for number, info in self._cells()}

    def _hold(self, key: CellKey, tally: Tally, size: int) -> None:
        """Hold the only tally of a cell, where there is room."""
        if size <= self._room:
            self._held[key], self._sizes[key] = tally, size
            self._room -= size

    def _let_go(self, key: CellKey) -> None:
        if key in self._held:
            del self._held[key]
            self._room += self._sizes.pop(key)

    @cached_property
    def _begun(self) -> set[int]:
        """The numbers of the cells of which a shard is recorded; written by this ledger alone."""
        return {int(number) for (number,) in self._select("SELECT DISTINCT cell FROM tally")}

    def _select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with reporting(self.path):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._lock is None:
            raise LedgerError(f"{self.path}: open for reading; open it with its settings to write")
        with reporting(self.path), transaction(self._connection):
            yield self._connection


# Beginning -----------------------------------------------------------------------------------


def _write_new(path: Path, settings: Mapping[str, Any], cells: Sequence[CellInfo]) -> None:
    """Write the ledger to another file, then rename it, so that there is a whole one or none."""
    if path.exists():
        raise LedgerError(f"{path}: there is a run here already; --resume it, or --overwrite it")
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    connection = connect(aside, "mode=rwc")
    try:
        with transaction(connection):
            _fill(connection, settings, cells)
            connection.execute("INSERT INTO document VALUES (?, ?)", (_CREATED, _json(_place_of(aside))))
    finally:
        connection.close()
    aside.replace(path)


def _fill(connection: sqlite3.Connection, settings: Mapping[str, Any], cells: Sequence[CellInfo]) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO setting VALUES (?, ?)", ((name, _json(value)) for name, value in settings.items())
    )
    connection.executemany(
        "INSERT INTO cell VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((*astuple(info.key), info.sampled, info.status, info.message) for info in cells),
    )


def _place_of(path: Path) -> dict[str, Any]:
    """Return an identity of this file on this machine, which the sender of a ledger cannot know."""
    return {"host": platform.node(), "file": path.stat().st_ino}


def _place_number(db: sqlite3.Connection, place: Place) -> int:
    db.execute("INSERT OR IGNORE INTO place (host, kind) VALUES (?, ?)", astuple(place))
    row = db.execute("SELECT id FROM place WHERE host = ? AND kind = ?", astuple(place))
    return int(row.fetchone()[0])


# Values ------------------------------------------------------------------------------------


def packed(tally: Tally) -> bytes:
    """Return the bytes of a tally in the ledger."""
    return zlib.compress(tally.to_json().encode(), level=1)


def _cell_key(values: Sequence[Any]) -> CellKey:
    """Return the key of a row of the table of cells, whose types SQLite does not enforce."""
    key = CellKey(*values)
    for name, rule in CELL.items():
        rule(getattr(key, name), name)
    return key


def _status(value: Any) -> Status:
    one_of(get_args(Status))(value, "status")
    status: Status = value
    return status


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed("it is no text")
    return value


def _json(document: Any) -> str:
    return json.dumps(plain(document), ensure_ascii=False, allow_nan=False)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
