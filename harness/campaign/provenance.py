"""Which programs are measured: what the candidates were loaded from, and whether that still lies there.

Every run begins here, so that each says by which command, where and with which libraries it was made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.campaign.environment import environment, own_version
from harness.campaign.settings import Settings
from harness.subject.candidates import Candidate
from harness.subject.candidates.sources import digest
from harness.terminal.exceptions import UsageError
from reports.record.program import Loaded, Program
from strategies import ROWS_VERSION

if TYPE_CHECKING:
    from harness.subject.execution import Executor
    from reports.record.ledger import CellInfo, Ledger

__all__ = ["open_measured", "record_program", "record_start"]


def open_measured(
    folder: Path,
    identity: Mapping[str, Any],
    cells: Sequence[CellInfo],
    settings: Settings,
    candidates: Sequence[Candidate],
) -> Ledger:
    """Open or create the ledger of a prepared folder for writing, if its figures are of these programs.

    Raises:
        UsageError: they are of other programs.
        LedgerError: the ledger is of other settings, damaged, or being written by another run.
    """
    from reports.record.run_folder import open_ledger

    ledger = open_ledger(folder, identity, cells)
    now = _program(settings, candidates)
    before = ledger.program()
    if before is None and not ledger.finished():
        ledger.put_program(now)
        return record_start(ledger, candidates)
    other = "it does not record them" if before is None else before.difference(_late(now, before))
    if other:
        ledger.close()
        raise UsageError(
            f"{ledger.path}: it was begun with other programs: {other};"
            " begin anew with --overwrite, or give another --out"
        )
    return record_start(ledger, candidates)


def record_start(ledger: Ledger, candidates: Iterable[Candidate] = ()) -> Ledger:
    """Record the documents that every run has, the command and the environment; return the ledger."""
    ledger.put("command", ["harness", *sys.argv[1:]])
    ledger.put("environment", environment(candidates))
    return ledger


def record_program(ledger: Ledger, executor: Executor) -> None:
    """Compare the candidates' files with those that were loaded, and record those that were loaded late.

    Raises:
        SourceReplaced: a file was replaced during the measurement.
    """
    from harness.subject.execution import Isolated, SourceReplaced

    program = ledger.program()
    candidates = {} if program is None else dict(program.candidates)
    for name, loaded in candidates.items():
        reported = executor.files(loaded.spec) if isinstance(executor, Isolated) else {}
        known = {**reported, **loaded.late, **loaded.files}
        for path, recorded in known.items():
            if digest(path) != recorded or reported.get(path, recorded) != recorded:
                raise SourceReplaced.of(path)
        late = {path: recorded for path, recorded in known.items() if path not in loaded.files}
        candidates[name] = replace(loaded, late=late)
    if program is not None:
        ledger.put_program(replace(program, candidates=candidates))


def _program(settings: Settings, candidates: Iterable[Candidate]) -> Program:
    calls = "in-process" if settings.in_process else "isolated"
    return Program(own_version(), ROWS_VERSION, calls, {c.name: _loaded(c) for c in candidates})


def _loaded(candidate: Candidate) -> Loaded:
    versions = dict(candidate.sources.get("versions", {}))
    if candidate.version:
        versions[candidate.name] = candidate.version
    return Loaded(candidate.spec, candidate.sources.get("files", {}), versions=versions)


def _late(now: Program, before: Program) -> Program:
    """Return the program with the present digests of the files that earlier calls loaded."""
    candidates = {
        name: replace(loaded, late={path: digest(path) for path in before.candidates[name].late})
        for name, loaded in now.candidates.items()
        if name in before.candidates
    }
    return replace(now, candidates=candidates)
