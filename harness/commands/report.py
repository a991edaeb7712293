"""`harness report`: draw everything again from a run folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.terminal.console import carries, notes, print_json, results
from harness.terminal.exceptions import NoVerdict, user_mistakes

if TYPE_CHECKING:
    from reports.record.tally import Tally
    from reports.record.witness import CellKey
    from reports.rundata import RunData

__all__ = ["report", "show"]

More = Callable[["RunData"], Mapping[str, Any]]


def report(
    run: Annotated[str, typer.Argument(help="A run folder, latest or previous.")] = "latest",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Draw tables and pages again from a run's ledger."""
    from harness.campaign.settings import available_jobs
    from reports.record.run_folder import find_run

    with user_mistakes():
        folder = find_run(run)
    show(folder, as_json=as_json, jobs=available_jobs())


def show(
    folder: Path,
    *,
    as_json: bool,
    jobs: int,
    known: Mapping[CellKey, Tally] = MappingProxyType({}),
    more: More = lambda _: {},
) -> None:
    """Draw everything from the ledger of a run folder, and print the causes and the summary.

    Args:
        folder: the run's.
        as_json: whether the summary is printed as JSON, and the causes as notes.
        jobs: how many processors to keep busy.
        known: tallies that need not be read; see `Ledger.tallies`.
        more: see `reports.folder.write`.

    Raises:
        UsageError: the ledger cannot be read, or a file not be written.
        NoVerdict: a section of the report failed; the page says so too.
    """
    from harness.campaign.processes import meanwhile
    from reports.causes import cause_lines
    from reports.folder import write
    from reports.terminal import summary

    with user_mistakes():
        finished = write(folder, known, more, partial(meanwhile, jobs=jobs))
    for told in cause_lines(finished.run.documents.get("explanations") or ()):
        (notes() if as_json else results()).print(told, soft_wrap=True)
    if as_json:
        text = (folder / "summary.json").read_text(encoding="utf-8")
        if carries(sys.stdout, text):
            sys.stdout.write(text)
        else:
            print_json(json.loads(text))
    else:
        console = results()
        console.print(summary(finished.run, sys.stdout.encoding), crop=False)
        console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    if finished.failed_sections:
        failed = ", ".join(finished.failed_sections)
        raise NoVerdict(f"{folder / 'report.html'}: sections that could not be drawn: {failed}")
