"""Run folders: their places and names, their witnesses, and how a run is resumed or overwritten.

A run without `--out` gets `harness-out/<UTC time>-<seed>/` below the current folder, and the
text file `harness-out/latest` names it. Nothing is ever deleted but files that this program
writes into a run folder, and those only where the ledger beside them is one of this program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

from reports.files import PART, FileError, read_text, writing_atomically
from reports.record.ledger import APPLICATION_ID, CellInfo, Ledger
from reports.record.sqlite import reporting, writer_lock
from reports.record.witness import Witness
from reports.spelling import command

__all__ = [
    "DRAWN",
    "GATED",
    "LEDGER",
    "OUT",
    "TABULATED",
    "RunFolderError",
    "begun_with",
    "find_run",
    "find_witness",
    "open_ledger",
    "prepare",
    "reference_of",
    "replay_command",
    "write_atomically",
]

OUT: Final = Path("harness-out")
"""The default folder of runs, below the current one."""

LEDGER: Final = "run.sqlite"
"""The ledger's name in a run folder."""

DRAWN: Final = (
    "summary.json",
    "cells.parquet",
    "cells.csv",
    "witnesses.jsonl",
    "report.html",
    "summary.md",
)
"""The files that the program writes from the ledger."""

GATED: Final = ("junit.xml", "gate.md")
"""The further files of a gate."""

TABULATED: Final = ("libraries.md", "libraries.csv")
"""The further files of a run of installed libraries."""

_LOCK: Final = "run.lock"
_LEDGER_PARTS: Final = tuple(
    f"{LEDGER}{suffix}" for suffix in ("", "-wal", "-shm", "-journal", ".new", ".new-journal")
)
LONGEST_NAME: Final = 4096
_OURS: Final = frozenset(
    (
        *(f"{name}{part}" for name in (*DRAWN, *GATED, *TABULATED) for part in ("", PART)),
        *_LEDGER_PARTS,
        _LOCK,
    )
)
_HEADER: Final = b"SQLite format 3\0"
_APPLICATION_ID_AT: Final = slice(68, 72)  # https://www.sqlite.org/fileformat.html, section 1.3


class RunFolderError(FileError):
    """A folder that cannot be used; the message is one line. Its content is unchanged."""


def prepare(
    out: Path | None,
    *,
    seed: int,
    resume: bool | None = False,
    overwrite: bool = False,
    parent: Path = OUT,
) -> Path:
    """Prepare the folder for a run: create it, or remove a run that is to be overwritten.

    Without `out` it is a new folder in `parent`, or with `resume` the latest one. Where there is
    nothing to resume, a run is begun. `resume` is None where the command has no such option.

    Raises:
        RunFolderError: the folder is not ours, not writable, or holds a run and neither is asked.
        LedgerError: the run to overwrite is being written.
    """
    if resume and overwrite:
        raise RunFolderError("--resume and --overwrite: one keeps the run, the other removes it; give one")
    if out is None:
        out = _latest(parent) if resume else None
        return _writable(out or _new_folder(parent, seed))
    _writable(out)
    if _holds_run(out) and overwrite:
        _remove_run(out)
    elif _holds_run(out) and not resume:
        ways = "" if resume is None else "--resume it, "
        raise RunFolderError(f"{out}: holds a run already; {ways}--overwrite it, or give another --out")
    return out


def open_ledger(folder: Path, settings: Mapping[str, Any], cells: Sequence[CellInfo]) -> Ledger:
    """Open the ledger of a prepared folder for writing, or create it.

    Raises:
        LedgerError: it is of other settings, damaged, or being written by another run.
    """
    path = folder / LEDGER
    return Ledger.open(path, settings) if path.exists() else Ledger.create(path, settings, cells)


def begun_with(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the run in a prepared folder; None where there is no run.

    Raises:
        LedgerError: its ledger is damaged.
    """
    path = folder / LEDGER
    if not path.exists():
        return None
    with Ledger.open(path) as ledger:
        return ledger.settings()


def find_run(run: str | Path, parent: Path = OUT) -> Path:
    """Return the folder of a run: `latest`, `previous`, a path, or a name in `parent`.

    Raises:
        RunFolderError: there is no run.
    """
    known = {"latest": _latest, "previous": _previous}.get(str(run))
    if known is not None:
        folder = known(parent)
        if folder is None:
            raise RunFolderError(f"{run}: there is no such run in {parent}; give the path of a run folder")
        return folder
    for folder in (Path(run), parent / run):
        if _holds_run(folder):
            return folder
    raise RunFolderError(f"{run}: holds no run ({LEDGER} is missing); give latest, previous or a run folder")


def find_witness(run: str | Path, identity: str, parent: Path = OUT) -> Witness:
    """Return the witness of a run whose id begins with `identity`.

    Raises:
        RunFolderError: there is no run, none such in it, or more than one.
    """
    folder = find_run(run, parent)
    with Ledger.open(folder / LEDGER) as ledger:
        witnesses = _beginning(identity, ledger)
    if len(witnesses) != 1:
        count = "several witnesses begin" if witnesses else "no witness begins"
        raise RunFolderError(
            f"{run}#{identity}: {count} with that id; see the ids in {folder}/witnesses.jsonl"
        )
    return next(iter(witnesses.values()))


def _beginning(identity: str, ledger: Ledger) -> dict[str, Witness]:
    """Return the witnesses whose id begins so; at most one for a whole id."""
    of_cells = (w for _, tally in ledger.tallies() for w in tally.witnesses)
    witnesses = {}
    for witness in chain(ledger.document_witnesses(), of_cells):
        if identity and witness.id.startswith(identity):
            witnesses[witness.id] = witness
            if witness.id == identity:
                break
    return witnesses


def reference_of(folder: Path) -> str:
    """Return the RUN in RUN#ID for this folder: its name within a `harness-out`, else its path."""
    folder = folder.resolve()
    if folder.parent.name == OUT.name:
        return folder.name
    here = Path.cwd()
    return (folder.relative_to(here) if here in folder.parents else folder).as_posix()


def replay_command(run: str, identity: str) -> str:
    """Return the command that replays a witness of a run."""
    return command("python", "-m", "harness", "replay", f"{run}#{identity}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write another file, then rename it, so that readers see the old or the new content whole.

    Raises:
        FileError: it cannot be written.
    """
    with writing_atomically(path) as file:
        file.write(content)


# Within ------------------------------------------------------------------------------------


def _new_folder(parent: Path, seed: int) -> Path:
    _mkdir(parent)
    ignore = parent / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, b"*\n")
    while True:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{seed}"
        try:
            (parent / name).mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(parent, error) from error
        write_atomically(parent / "latest", f"{name}\n".encode())
        return parent / name


def _latest(parent: Path) -> Path | None:
    pointer = parent / "latest"
    if not pointer.is_file():
        return None
    name = read_text(pointer, LONGEST_NAME).strip()
    folder = parent / name
    return folder if name == Path(name).name and folder.is_dir() else None


def _previous(parent: Path) -> Path | None:
    latest = _latest(parent)
    earlier = [f for f in parent.glob("*Z-*") if latest and f.name < latest.name and _holds_run(f)]
    return max(earlier, default=None)


def _holds_run(folder: Path) -> bool:
    return (folder / LEDGER).is_file()


def _writable(folder: Path) -> Path:
    """Return the folder, created where it is missing; refuse one that holds anything but a run."""
    _mkdir(folder)
    try:
        strangers = sorted(entry.name for entry in folder.iterdir() if entry.name not in _OURS)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    if strangers and not _holds_run(folder):
        raise RunFolderError(
            f"{folder}: holds {strangers[0]!r} and no run, so it is not ours; give a new or an empty folder"
        )
    return folder


def _mkdir(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{folder}: cannot be written to ({error.strerror}); give another --out")


def _remove_run(folder: Path) -> None:
    """Remove the files of a run that nobody writes; the lock stays for a process that waits for it."""
    ledger = folder / LEDGER
    with ledger.open("rb") as file:
        header = file.read(_APPLICATION_ID_AT.stop)
    if not header.startswith(_HEADER) or header[_APPLICATION_ID_AT] != APPLICATION_ID.to_bytes(4, "big"):
        raise RunFolderError(f"{ledger}: not a ledger of this program; move it away, or give another --out")
    with reporting(ledger), closing(writer_lock(ledger)):
        for name in sorted(_OURS - {_LOCK}):
            (folder / name).unlink(missing_ok=True)
