"""`harness compare`: what got better or worse between two runs, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.terminal.console import print_json, print_lines, results
from harness.terminal.exceptions import NoVerdict, user_mistakes

if TYPE_CHECKING:
    from harness.gate.comparison import Change, Comparison
    from reports.record.cells import Row

__all__ = ["compare"]

SHOWN = 20
"""The most cells to print of each kind of change."""


def compare(
    base: Annotated[
        str,
        typer.Argument(help="The earlier run: a run folder, latest or previous; or an explanation in JSON."),
    ],
    run: Annotated[str, typer.Argument(help="The later run, or explanation.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what got better or worse between two runs, cell by cell.

    The later run's report.html gets a section about it. Exit 3 where no cell can be compared. Given two
    files that explain --json wrote, say which parts changed.
    """
    from harness.explanation.changes import is_explanation

    if is_explanation(base) or is_explanation(run):
        _compare_explanations(base, run, as_json=as_json)
        return
    from harness.gate.comparison import compare as compared
    from reports.record.run_folder import find_run

    with user_mistakes():
        folders = find_run(base), find_run(run)
    cells = _cells(folders[0]), _cells(folders[1])
    comparison = compared(base, cells[0], run, cells[1])
    _draw(folders[1], comparison)
    if as_json:
        print_json({**comparison.document(), "parts": list(_changed_parts(folders))})
    else:
        _print(comparison, folders[1])
        for part in _changed_parts(folders):
            print_lines(results(), f"{part['candidate']} / {part['format']}: {part['line']}")
    if not any(comparison.count(change) for change in ("better", "worse", "noise", "same")):
        raise NoVerdict(_why_nothing(cells, f"{base} and {run}"))


def _why_nothing(cells: tuple[list[Row], list[Row]], runs: str) -> str:
    """Say why no cell can be compared."""
    earlier, later = ({(c["candidate"], c["format"], c["out_format"]) for c in part} for part in cells)
    if not earlier & later:
        return f"no candidate is in both of {runs} in one format; compare runs of the same candidates"
    return (
        f"no cell has the same rows in {runs}; compare runs of one seed and effort, and of the same lengths"
    )


def _compare_explanations(base: str, run: str, *, as_json: bool) -> None:
    """Print the parts that are another in the later of two explanations."""
    from harness.explanation.changes import changes, explanation_in

    found = list(changes(explanation_in(base), explanation_in(run)))
    if as_json:
        print_json({"base": base, "run": run, "changes": [change.document() for change in found]})
    else:
        lines = [change.line() for change in found] or ["no part changed"]
        print_lines(results(), "\n".join(lines))


def _changed_parts(folders: tuple[Path, Path]) -> Iterator[dict[str, str]]:
    """Yield the parts that changed of candidates that both runs explain, as JSON takes them."""
    from harness.explanation.changes import changes

    earlier, later = (_explanations(folder) for folder in folders)
    for candidate, fmt, out in [key for key in later if key in earlier]:
        for change in changes(earlier[candidate, fmt, out], later[candidate, fmt, out]):
            named = {"candidate": candidate, "format": fmt, "out_format": out}
            yield {**named, **change.document(), "line": change.line()}


def _explanations(folder: Path) -> dict[tuple[str, str, str], Any]:
    """Return what a run's ledger holds of candidates that were opened, by candidate and formats."""
    from reports.record.ledger import Ledger
    from reports.record.run_folder import LEDGER

    with user_mistakes(), Ledger.open(folder / LEDGER) as ledger:
        found = ledger.get("explanations") or ()
    return {(e["candidate"], e["format"], e["out_format"]): e for e in found if e.get("parts")}


def _cells(folder: Path) -> list[Row]:
    from reports.record.cells import cell_row
    from reports.record.ledger import Ledger
    from reports.record.run_folder import LEDGER

    with user_mistakes(), Ledger.open(folder / LEDGER) as ledger:
        return [cell_row(info, tally) for info, tally in ledger.tallies()]


def _draw(folder: Path, comparison: Comparison) -> None:
    """Record the comparison in the later run, and draw its pages again."""
    from reports.folder import write
    from reports.record.ledger import Ledger
    from reports.record.run_folder import LEDGER

    with user_mistakes():
        with Ledger.open(folder / LEDGER) as reading:
            settings = reading.settings()
        with Ledger.open(folder / LEDGER, settings) as ledger:
            ledger.put("comparison", comparison.document())
        write(folder)


def _print(comparison: Comparison, folder: Path) -> None:
    """Print the counts, then the changes, the gravest first; of noise only the greatest."""
    from harness.gate.comparison import TRENDS
    from reports.figures import ulps

    console = results()
    counts = ", ".join(f"{comparison.count(name)} {name}" for name in TRENDS)
    console.print(f"{comparison.run} against {comparison.base}: {counts}", soft_wrap=True)
    if None not in comparison.greatest:
        before, after = map(ulps, comparison.greatest)
        console.print(f"greatest error of the cells compared: {before} to {after} ULP", soft_wrap=True)
    for trend in ("worse", "not comparable", "gone", "new", "better"):
        cells = [c for c in comparison.changes if c.trend == trend]
        for cell in cells[:SHOWN]:
            console.print(_line(cell), soft_wrap=True)
        if len(cells) > SHOWN:
            console.print(f"... and {len(cells) - SHOWN} more {trend}; --json lists all")
    if noise := [c for c in comparison.changes if c.trend == "noise"]:
        console.print(f"noise in {len(noise)} cells, at most {_line(noise[0])}", soft_wrap=True)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def _line(cell: Change) -> str:
    key = cell.cell
    formats = key.format if key.format == key.out_format else f"{key.format} > {key.out_format}"
    place = f"{key.candidate}  {formats}  {key.regime}, n={key.length}"
    message = cell.message.removeprefix(f"{cell.trend}: ")
    return f"{cell.trend}  {place}{f': {message}' if message else ''}"
