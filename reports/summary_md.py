"""summary.md: what a pull request shows, the verdict first and the rest folded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reports.figures import NOTHING, count, percent, ulps
from reports.rundata import RunData, Standing
from reports.verdict import sentences, where, with_place

__all__ = ["markdown"]

_WITNESSES: Final = 3
_FINDINGS: Final = 50
_MARKS: Final = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~"})


def markdown(run: RunData) -> str:
    """Return the summary of a run: verdict and worst witnesses, then tables within <details>."""
    return "\n".join((*_opening(run), "", *_table(run), *_findings(run), *_claims(run), ""))


def _opening(run: RunData) -> Iterator[str]:
    verdict, *more = sentences(run)
    yield f"**{escaped(verdict)}**"
    for line in more:
        yield ""
        yield escaped(line)
    if run.witnesses:
        yield ""
    for w in run.telling_witnesses(_WITNESSES):
        named = escaped(f"{w.kind} {w.cell.candidate}, {w.cell.format}, {w.cell.regime}, n={w.cell.length}")
        yield f"- {named}: `{run.replay_command(w.id).replace('`', '')}`"


def _table(run: RunData) -> Iterator[str]:
    yield f"<details><summary>Candidates by format; the worst found, seed {escaped(run.seed)}</summary>"
    yield ""
    yield "| candidate | format | rows | failed | worst ULP | overflow | total underflow | underflow |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for standing in run.standings:
        yield f"| {' | '.join(escaped(text) for text in _line(standing))} |"
    yield ""
    yield "</details>"


def _line(standing: Standing) -> Iterator[str]:
    yield standing.key.candidate
    yield standing.key.formats
    if not standing.is_measured:
        yield "unsupported" if standing.is_unsupported else "no row came back"
        yield from [NOTHING] * 5
        return
    yield count(standing.total("completed_rows"))
    yield _rate(standing, "failed_rate")
    yield with_place(ulps(standing.greatest("max_ulp")), where(standing, "max_ulp"))
    for column in ("overflow_rate", "total_underflow_rate", "underflow_rate"):
        yield _rate(standing, column)


def _rate(standing: Standing, column: str) -> str:
    return with_place(percent(standing.greatest(column)), where(standing, column))


def _findings(run: RunData) -> Iterator[str]:
    if not run.findings:
        return
    yield f"<details><summary>Findings: {len(run.findings)}</summary>"
    yield ""
    for f in run.findings[:_FINDINGS]:
        yield escaped(f"- {f.kind}: {f.candidate}, {f.format}, {f.count} {f.unit}: {f.message}").replace(
            "\\-", "-"
        )
    yield ""
    yield "</details>"


def _claims(run: RunData) -> Iterator[str]:
    if not run.claims:
        return
    yield "<details><summary>Claims</summary>"
    yield ""
    yield "| # | claim | verdict |"
    yield "|--:|---|---|"
    for claim in run.claims:
        yield f"| {claim['id']} | {escaped(claim['statement'])} | {escaped(claim['verdict'])} |"
    yield ""
    yield "</details>"


def escaped(text: object) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return " ".join(str(text).split()).translate(_MARKS)
