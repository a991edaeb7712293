"""`harness selftest`: plant known defects, show that each is caught and that nothing honest is refused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.terminal.console import notes, print_json, print_lines, results
from harness.terminal.exceptions import NoVerdict, UsageError, choose, user_mistakes
from harness.terminal.kernels import prepare_kernels
from reference.formats import FORMATS

if TYPE_CHECKING:
    from harness.selftest.controls import Control
    from harness.selftest.matrix import Matrix
    from harness.selftest.planted import Instance

    Suspected = Instance | Control

__all__ = ["selftest"]

LINES = 20
"""Interval between progress lines where the output is not a terminal."""


def selftest(
    *,
    seed: Annotated[int, typer.Option(help="Decides the constants of the defects.")] = 0,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="One instance of each defect, and the controls of float32, in brief."),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Ask for the cause of each softmax too; count the right ones."),
    ] = False,
    format: Annotated[
        list[str] | None,
        typer.Option("--format", help="Only defects and controls of this format; repeatable."),
    ] = None,
    mechanism: Annotated[
        list[str] | None,
        typer.Option("--mechanism", help="Only defects of this part of a softmax, or honest; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the matrix as a report in this folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Processors to keep busy; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix as one JSON document.")] = False,
) -> int:
    """Plant known defects, and count which of them the gate and common test protocols catch.

    Honest kernels stand beside them as controls, which the gate must pass.

    Exit codes: 0 every defect is caught and every control passes, 1 one is not, 2 wrong usage.
    """
    from harness.campaign.settings import available_jobs
    from harness.selftest.suite import run_suite

    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least 1")
    suspects = _selected(seed, format or (), mechanism or (), quick=quick)
    if out is not None:
        _prepare(out, seed, overwrite=overwrite)
    prepare_kernels()
    done = [0]

    def advance(more: int) -> None:
        before, done[0] = done[0], done[0] + more
        if notes().is_terminal:
            notes().print(f"{done[0]} of {len(suspects)}", end="\r")
        elif before * LINES // len(suspects) < done[0] * LINES // len(suspects):
            notes().print(f"{done[0]} of {len(suspects)}")

    start = time.perf_counter()
    matrix = run_suite(suspects, seed, jobs or available_jobs(), advance, quick=quick, explain=explain)
    if out is not None:
        _keep(out, matrix, quick=quick, seconds=time.perf_counter() - start)
    if as_json:
        print_json(matrix.document())
    else:
        print_lines(results(), _text(matrix))
        if out is not None:
            results().print(f"report: {out / 'report.html'}", soft_wrap=True)
    return matrix.exit_code


def _selected(
    seed: int, formats: Sequence[str], mechanisms: Sequence[str], *, quick: bool
) -> tuple[Suspected, ...]:
    """Return the suspects of some formats and parts of a softmax; all where none are given.

    Raises:
        UsageError: one of them is unknown, or none has a suspect.
    """
    from harness.selftest.suite import MECHANISMS, mechanism_of, suspects_of

    for name in formats:
        choose("format", name, FORMATS)
    for name in mechanisms:
        choose("mechanism", name, MECHANISMS)
    some = tuple(
        suspect
        for suspect in suspects_of(seed, quick=quick)
        if (not formats or suspect.format.name in formats)
        and (not mechanisms or mechanism_of(suspect) in mechanisms)
    )
    if not some:
        asked = f"--mechanism {' '.join(mechanisms)} --format {' '.join(formats)}"
        raise UsageError(f"{asked}: nothing is planted there; leave one of them out")
    return some


def _prepare(out: Path, seed: int, *, overwrite: bool) -> None:
    """Refuse before anything is planted a folder that cannot take the report."""
    from reports.record.run_folder import prepare

    with user_mistakes():
        prepare(out, seed=seed, resume=None, overwrite=overwrite)


def _keep(out: Path, matrix: Matrix, *, quick: bool, seconds: float) -> None:
    """Put the matrix into a ledger, and draw the page from it.

    Raises:
        NoVerdict: a section could not be drawn.
    """
    from harness.campaign.provenance import record_start
    from harness.selftest.matrix_text import titles
    from reports.folder import write
    from reports.record.run_folder import open_ledger

    with user_mistakes():
        with record_start(open_ledger(out, {"seed": matrix.seed, "quick": quick}, [])) as ledger:
            ledger.put("timing", {"run_seconds": seconds})
            ledger.put("selftest", {**matrix.document(), "titles": titles()})
        failed = write(out).failed_sections
    if failed:
        raise NoVerdict(f"{out / 'report.html'}: sections that could not be drawn: {', '.join(failed)}")


def _text(matrix: Matrix) -> str:
    from harness.selftest.matrix_text import text

    return text(matrix)
