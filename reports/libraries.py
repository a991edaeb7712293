"""The softmax accuracy table: every library that a run measured, in every format, the most accurate first.

One line a library and format. Figures are the worst found, each in some cell of the run, searched rows
included; rates are those of the worst cell and never pooled.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.figures import NOTHING, count, percent, ulps
from reports.rundata import RunData, Standing
from reports.spelling import csv_cell, markdown
from reports.verdict import observed, where

__all__ = ["HEADINGS", "LibraryLine", "as_csv", "as_markdown", "library_lines"]

HEADINGS = (
    "library",
    "version",
    "format",
    "rows",
    "failed",
    "worst ULP",
    "in",
    "bound ratio",
    "overflow",
    "underflow",
    "row with NaN",
    "row with +inf",
    "row of -inf",
    "findings",
    "contract",
    "witness",
)


@dataclass(frozen=True)
class LibraryLine:
    """One library in one format.

    Attributes:
        texts: the cells of the line, under `HEADINGS`.
        is_sound: whether no row failed without excuse, nothing else was found and the contract was kept.
        command: replays its worst witness; empty where there is none.
    """

    texts: tuple[str, ...]
    is_sound: bool
    command: str


def library_lines(run: RunData) -> list[LibraryLine]:
    """Return the lines of the table, by format, in it the most accurate first; none without libraries."""
    versions = run.environment.get("candidates") or {}
    measured = [s for s in run.standings if s.key.candidate in versions and s.is_measured]
    order = {fmt: place for place, fmt in enumerate(run.formats)}
    measured.sort(key=lambda s: (order[s.key.formats], *_badness(s)))
    return [_line(run, standing, str(versions[standing.key.candidate])) for standing in measured]


def _badness(standing: Standing) -> tuple[bool, float, float, str]:
    """Rank those that lose rows last, then by the worst error."""
    worst = standing.greatest("max_ulp")
    failed = standing.greatest("failed_rate") or 0.0
    return failed > 0, math.inf if worst is None else worst, failed, standing.key.candidate


def _line(run: RunData, standing: Standing, version: str) -> LibraryLine:
    key = standing.key
    kinds = dict.fromkeys(
        f.kind
        for f in run.findings
        if (f.candidate, f.format, f.out_format) == (key.candidate, key.format, key.out_format)
    )
    asked = [
        check
        for check in run.checks
        if (check.get("candidate"), check.get("format")) == (key.candidate, key.format)
        and (check.get("kind"), check.get("status") in ("ok", "violated")) == ("contract", True)
    ]
    broken = [str(check["check"]) for check in asked if check["status"] == "violated"]
    witness = _witness(run, standing)
    texts = (
        key.candidate,
        version,
        key.formats,
        count(standing.total("completed_rows")),
        percent(standing.greatest("failed_rate")),
        ulps(standing.greatest("max_ulp")),
        where(standing, "max_ulp"),
        ulps(standing.greatest("bound_ratio")),
        percent(standing.greatest("overflow_rate")),
        percent(standing.greatest("underflow_rate")),
        *(observed(standing, kind) for kind in ("nan_row", "pos_inf", "masked_row")),
        ", ".join(kind.replace("_", " ") for kind in kinds) or NOTHING,
        ", ".join(broken) or ("kept" if asked else NOTHING),
        witness or NOTHING,
    )
    sound = not (standing.total("unexplained_rows") or kinds or broken)
    return LibraryLine(texts, sound, run.replay_command(witness) if witness else "")


def _witness(run: RunData, standing: Standing) -> str:
    """Return the id of the gravest witness: of a failed row, else of the greatest error."""
    key = standing.key
    for witness in run.witnesses:
        cell = witness.cell
        if (cell.candidate, cell.format, cell.out_format) == (key.candidate, key.format, key.out_format):
            return witness.id
    return ""


# Files -----------------------------------------------------------------------------------


def as_csv(lines: Sequence[LibraryLine]) -> str:
    """Return the table for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADINGS)
    writer.writerows(map(csv_cell, line.texts) for line in lines)
    return text.getvalue()


def as_markdown(lines: Sequence[LibraryLine]) -> str:
    """Return the table for a README or a pull request."""
    return "\n".join(_markdown(lines)) + "\n"


def _markdown(lines: Sequence[LibraryLine]) -> Iterator[str]:
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{'---|' * len(HEADINGS)}"
    for line in lines:
        yield f"| {' | '.join(map(markdown, line.texts))} |"
