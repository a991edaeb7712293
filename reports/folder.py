"""Everything in a run folder but the ledger, drawn from the ledger alone.

The same ledger gives the same bytes, whenever and wherever it is drawn; of summary.json that
holds across runs too, but for the blocks `environment` and `timing`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reports.files import writing_atomically
from reports.libraries import as_csv, as_markdown, library_lines
from reports.page import draw
from reports.record.cells import Row, table
from reports.record.ledger import Ledger
from reports.record.run_folder import LEDGER, reference_of, write_atomically
from reports.record.tally import Tally, plain
from reports.record.witness import CellKey, Witness
from reports.rundata import SCHEMA_VERSION, RunData, build
from reports.section import Guard
from reports.spelling import json_text
from reports.summary_md import markdown

__all__ = ["Finished", "summary", "write"]


@dataclass(frozen=True)
class Finished:
    """A run folder that is drawn.

    Attributes:
        folder: the run folder.
        run: the data that was drawn.
        failed_sections: the names of sections that could not be drawn; page and summary say so, too.
    """

    folder: Path
    run: RunData
    failed_sections: tuple[str, ...]


@contextmanager
def _before(work: Callable[[], None]) -> Iterator[None]:
    work()
    yield


def write(
    folder: Path,
    known: Mapping[CellKey, Tally] = MappingProxyType({}),
    more: Callable[[RunData], Mapping[str, Any]] = lambda _: {},
    meanwhile: Callable[[Callable[[], None]], AbstractContextManager[None]] = _before,
) -> Finished:
    """Draw a run folder from its ledger; each file is replaced whole, or left as it was.

    Args:
        folder: the run's.
        known: see `Ledger.tallies`.
        more: returns documents to draw beside those of the ledger, by name.
        meanwhile: has some work done while the body runs: tables and witnesses are written while the page is
            drawn.

    Raises:
        LedgerError: the ledger cannot be read.
        FileError: a file cannot be written.
    """
    read, witnesses = _read(folder, known)
    with meanwhile(partial(_write_figures, folder, read, witnesses)):
        run = replace(read, documents={**read.documents, **more(read)})
        return Finished(folder, run, _write_pages(folder, run))


def _write_figures(folder: Path, run: RunData, witnesses: _Witnesses) -> None:
    """Write the files for programs, which hold no document of `more`."""
    with writing_atomically(folder / "witnesses.jsonl") as file:
        file.writelines(witnesses.lines())
    write_atomically(folder / "summary.json", summary(run).encode())
    for name, content in _tables(run.cells):
        write_atomically(folder / name, content)


def _write_pages(folder: Path, run: RunData) -> tuple[str, ...]:
    """Write the files for people, and return the names of sections that could not be drawn."""
    page, guard = draw(run), Guard()
    write_atomically(folder / "report.html", page.html.encode())
    write_atomically(folder / "summary.md", markdown(run, guard).encode())
    lines = library_lines(run)
    if lines:
        write_atomically(folder / "libraries.md", as_markdown(lines).encode())
        write_atomically(folder / "libraries.csv", as_csv(lines).encode())
    return *page.failed_sections, *guard.failed


@dataclass(frozen=True)
class _Witnesses:
    """The witnesses of a run, of each cell one of a kind at most, and the ids of small ones by theirs."""

    all: list[Witness]
    small: Mapping[str, str]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of witnesses.jsonl."""
        return (f"{w.line(self.small.get(w.id))}\n".encode() for w in self.all)


def _read(folder: Path, known: Mapping[CellKey, Tally]) -> tuple[RunData, _Witnesses]:
    """Read what is drawn."""
    with Ledger.open(folder / LEDGER) as ledger:
        witnesses = _Witnesses([], ledger.small())
        run = build(ledger, reference_of(folder), lambda tally: witnesses.all.extend(tally.witnesses), known)
        witnesses.all.extend(ledger.document_witnesses())
    return run, witnesses


def summary(run: RunData) -> str:
    """Return summary.json: one line for each entry of its lists, so that runs can be compared by eye."""
    blocks: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "seed": run.seed,
        "settings": run.settings,
        **({"incomplete": run.left} if any(run.left.values()) else {}),
        "claims": run.claims,
        "checks": run.checks,
        **({} if run.is_of_cells else {"selftest": run.documents["selftest"]}),
        "findings": [*(f.document() for f in run.findings), *run.reported],
        "cells": run.cells,
        "environment": {"command": run.command, **run.environment},
        "timing": run.timing,
    }
    parts = (f"  {json.dumps(name)}: {_block(plain(value))}" for name, value in blocks.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _block(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return _json(value)
    return "[\n" + ",\n".join(f"    {_json(entry)}" for entry in value) + "\n  ]"


def _json(value: Any) -> str:
    return json_text(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _tables(cells: Iterable[Row]) -> Iterator[tuple[str, bytes]]:
    """Yield cells.csv and cells.parquet: the same rows, null where summary.json has null."""
    frame = table(list(cells))
    yield "cells.csv", frame.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    yield "cells.parquet", buffer.getvalue()
