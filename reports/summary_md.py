"""summary.md, for a pull request: the verdict first, and the rest folded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final

from reports import selftest
from reports.figures import NOTHING, count, percent, seeded, ulps
from reports.record.verdicts import worst_first
from reports.rundata import RunData, Standing
from reports.section import Guard
from reports.sections.checks import is_known
from reports.sections.comparison import sentence as comparison_sentence
from reports.sections.witnesses import instance
from reports.spelling import markdown as escaped
from reports.spelling import markdown_code
from reports.verdict import sentences, where, with_place

__all__ = ["markdown"]

_WITNESSES: Final = 3
_STANDINGS: Final = 100
_LISTED: Final = 40
_WIDEST: Final = 240


def markdown(run: RunData, guard: Guard | None = None) -> str:
    """Return the summary of a run: verdict and worst witnesses, then tables within <details>.

    Args:
        run: the data of the run.
        guard: records which parts could not be drawn.
    """
    guard = guard or Guard()
    parts = _OF_CELLS if run.is_of_cells else _OF_SELFTEST
    drawn = [guard.lines(f"summary.md: {name}", partial(part, run)) for name, part in parts.items()]
    opening, *folded = drawn
    return "\n".join((*opening, "", *chain.from_iterable(folded), ""))


def _opening(run: RunData) -> Iterator[str]:
    verdict, *more = sentences(run)
    yield f"**{escaped(verdict)}**"
    for paragraph in (more, *([line] for line in _compared(run))):
        if paragraph:
            yield ""
            yield " ".join(map(escaped, paragraph))


def _witnesses(run: RunData) -> Iterator[str]:
    if run.witnesses:
        yield ""
    for w in run.telling_witnesses(_WITNESSES):
        named = escaped(f"{w.kind} {w.cell.candidate}, {w.cell.format}, {w.cell.regime}, n={w.cell.length}")
        row = f" {markdown_code(said)}" if (said := instance(w)) else ""
        yield f"- {named}:{row} {markdown_code(run.replay_command(w.id))}"


def _compared(run: RunData) -> Iterator[str]:
    """Yield the results of a comparison with an earlier run, if there was one."""
    if comparison := run.documents.get("comparison"):
        yield comparison_sentence(comparison)


def _table(run: RunData) -> Iterator[str]:
    yield f"<details><summary>Candidates by format; the worst found{escaped(seeded(run.seed))}</summary>"
    yield ""
    yield "| candidate | format | rows | failed | worst ULP | overflow | total underflow | underflow |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for standing in run.standings[:_STANDINGS]:
        yield f"| {' | '.join(escaped(text) for text in _line(standing))} |"
    if len(run.standings) > _STANDINGS:
        yield ""
        yield f"{_STANDINGS} of {len(run.standings)} lines; the report has all."
    yield ""
    yield "</details>"


def _line(standing: Standing) -> Iterator[str]:
    yield standing.key.candidate
    yield standing.key.formats
    if not standing.is_measured:
        yield "unsupported" if standing.is_unsupported else "no row gave an output"
        yield from [NOTHING] * 5
        return
    yield count(standing.total("completed_rows"))
    yield _rate(standing, "failed_rate")
    yield with_place(ulps(standing.greatest("max_ulp")), where(standing, "max_ulp"))
    for column in ("overflow_rate", "total_underflow_rate", "underflow_rate"):
        yield _rate(standing, column)


def _selftest(run: RunData) -> Iterator[str]:
    """Yield the score of a self-test, and its matrix."""
    document = run.documents["selftest"]
    names = selftest.columns(document)
    score = ("protocol", "what it does", "instances caught", "defects caught whole", "controls refused")
    yield from _folded("Score by protocol", score, selftest.score_rows(document))
    for title, honest in (("Defects by protocol", False), ("Controls by protocol", True)):
        rows = selftest.matrix_rows(document, honest=honest)
        lines = ((row.kind, row.mechanism, *(cell.text for cell in row.cells)) for row in rows)
        yield from _folded(f"{title}: {len(rows)}", ("kind", "part", *names), lines)


def _folded(title: str, headings: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield f"| {' | '.join(map(escaped, headings))} |"
    yield f"|{'---|' * len(headings)}"
    for line in lines:
        yield f"| {' | '.join(map(escaped, line))} |"
    yield ""
    yield "</details>"


def _rate(standing: Standing, column: str) -> str:
    return with_place(percent(standing.greatest(column)), where(standing, column))


def _verdicts(run: RunData) -> Iterator[str]:
    failing = [v for v in worst_first(run.verdicts) if v.stops]
    yield from _listed("Gate: what did not pass", (f"{v.status}: {v.name}: {v.message}" for v in failing))


def _changes(run: RunData) -> Iterator[str]:
    changes = (run.documents.get("comparison") or {}).get("changes") or ()
    yield from _listed(
        "Better and worse", (_named(c, "change", "metric", "before", "after") for c in changes)
    )


def _checks(run: RunData) -> Iterator[str]:
    broken = [check for check in run.checks if check.get("status") == "violated"]
    for title, known in (("Checks broken", False), ("Broken, maybe by the order of operations alone", True)):
        listed = (_named(c, "kind", "check", "message") for c in broken if is_known(c) is known)
        yield from _listed(title, listed)


def _findings(run: RunData) -> Iterator[str]:
    lines = (f"{f.kind}: {f.candidate}, {f.format}, {f.count} {f.unit}: {f.message}" for f in run.findings)
    yield from _listed("Findings", lines)


def _named(entry: Mapping[str, Any], *said: str) -> str:
    """Return a line on an entry of a document: its place, then its message."""
    where = [str(entry[name]) for name in ("candidate", "format", "regime") if entry.get(name)]
    return ": ".join((", ".join(where), ", ".join(str(entry.get(name, "")) for name in said)))


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a folded list with at most so many lines and their number; nothing for an empty list."""
    listed = list(lines)
    if not listed:
        return
    yield f"<details><summary>{title}: {len(listed)}</summary>"
    yield ""
    for line in listed[:_LISTED]:
        yield f"- {escaped(line)[:_WIDEST]}"
    if len(listed) > _LISTED:
        yield f"- and {len(listed) - _LISTED} more in the report"
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


_Part = Callable[[RunData], Iterator[str]]

_OF_CELLS: Final[Mapping[str, _Part]] = {
    "verdict": _opening,
    "witnesses": _witnesses,
    "candidates": _table,
    "gate": _verdicts,
    "comparison": _changes,
    "findings": _findings,
    "checks": _checks,
    "claims": _claims,
}
"""The parts of a run's summary, in order."""

_OF_SELFTEST: Final[Mapping[str, _Part]] = {"verdict": _opening, "matrix": _selftest}
