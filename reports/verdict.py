"""The verdict on a run in a few sentences, the same in the terminal, in HTML and in Markdown.

A gate's verdict comes first. Then what is wrong, the gravest first: who fails, in which formats (an ULP
error says nothing where outputs are NaN), wrong entries, errors above their bound. What is well comes last.
Rates are never pooled over regimes: a sentence names the worst cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from reports import selftest
from reports.common import in_common
from reports.figures import NOTHING, count, percent, plural, sample, searched, ulps
from reports.record.cells import SEARCHED, Row
from reports.record.verdicts import Verdict, VerdictStatus, headline_name
from reports.rundata import WRONGS, RunData, Standing
from reports.violations import counts_of

__all__ = ["observed", "place", "sentences", "some", "where", "with_place"]

_NAMED: Final = 3
"""Candidates that a sentence names; of more it says how many."""


def sentences(run: RunData) -> Iterator[str]:
    """Yield the verdict: what is missing, who fails and who does not, the worst errors, other findings."""
    if not run.is_of_cells:
        yield from selftest.sentences(run.documents["selftest"])
        return
    measured = [s for s in run.standings if s.is_measured]
    yield from _missing(run)
    if not run.cells:
        yield "Nothing was measured: the run has no cells."
        return
    if not measured:
        if not run.shards_left:
            yield f"Nothing was measured: no call returned an output ({plural(len(run.cells), 'cell')})."
        return
    yield from _judged(run)
    failing, calm = _failures(measured, losing=_lost_rows(run))
    beyond, within = _against_bounds(measured)
    grave = [*failing, *_shared(run), *_wrong_entries(measured), *beyond]
    worst = list(_worst_error(measured, run))
    yield from (*grave, *(worst if grave else ()))
    yield from _apart_from_accuracy(run)
    yield from (*calm, *within, *(() if grave else worst))


def _apart_from_accuracy(run: RunData) -> Iterator[str]:
    if run.findings:
        yield (
            f"{plural(len(run.findings), 'finding')} apart from accuracy:"
            f" {', '.join(dict.fromkeys(f.kind for f in run.findings))}."
        )
    yield from _broken_contract(run)


def _judged(run: RunData) -> Iterator[str]:
    """Yield the verdict of a gate, and what its violations have in common."""
    if run.verdicts:
        yield f"Gate: {headline_name(run.verdicts)} ({counts_of(run.verdicts)})."
        yield from (f"{sentence}." for sentence in in_common(run.verdicts))


def _shared(run: RunData) -> Iterator[str]:
    """Yield what the cells have in common where rows failed or errors exceed the bound, as a gate says it."""
    if not run.verdicts:
        yield from (f"{sentence}." for sentence in in_common([v for c in run.cells for v in _held(c)]))


def _held(cell: Row) -> Iterator[Verdict]:
    """Yield a cell held to no failed row, or else to the bound of the standard tier."""
    if not cell["judged_rows"]:
        return
    failed, ratio = cell["failed_rows"], cell["bound_ratio"]
    metric, observed, limit = ("failed_rows", failed, 0.0) if failed else ("bound_ratio", ratio, 1.0)
    is_beyond = observed is not None and observed > limit
    status: VerdictStatus = "over_budget" if is_beyond else "pass"
    yield Verdict(
        cell["candidate"], cell["format"], cell["out_format"], cell["regime"], cell["length"],
        metric, "<=", limit, observed, status, rows=cell["rows"],
    )  # fmt: skip


def _wrong_entries(measured: list[Standing]) -> Iterator[str]:
    """Yield the candidates with entries that are wrong, although their rows may not have failed."""
    wrongs = [(s, column, number) for s in measured for column, number in s.wrongs.items()]
    for column in WRONGS:
        own = [(s, number) for s, name, number in wrongs if name == column and number]
        if not own:
            continue
        worst, number = max(own, key=lambda entry: entry[1])
        cell = worst.worst(column)
        assert cell is not None
        others = f", and {plural(len(own) - 1, 'more pair')} of candidate and format" if own[1:] else ""
        whose = f"{worst.key.candidate} in {worst.key.formats}"
        yield f"{whose}: {count(number)} {WRONGS[column]} (most in {place(cell)}){others}."


def _broken_contract(run: RunData) -> Iterator[str]:
    """Yield the candidates that break the contract, or a property by more than rounding explains."""
    broken: dict[str, dict[str, None]] = {}
    for check in run.broken_checks:
        broken.setdefault(str(check["candidate"]), {})[str(check["check"])] = None
    if len(broken) > _NAMED:
        yield f"{count(len(broken))} of {plural(len(run.candidates), 'candidate')} break the contract."
    elif broken:
        clauses = "; ".join(f"{name}: {', '.join(checks)}" for name, checks in broken.items())
        yield f"Contract broken by {clauses}."


def _missing(run: RunData) -> Iterator[str]:
    """Yield the tasks that are not measured, and the rows without outputs."""
    if run.shards_left:
        yield (
            f"Incomplete: {plural(run.shards_left, 'shard')} of {count(run.shards)} were not measured;"
            f" {_how_to_continue(run)}."
        )
    elif run.unchecked:
        yield (
            f"Incomplete: the checks of {plural(run.unchecked, 'pair')} of candidate and format are missing;"
            f" {_how_to_continue(run)}."
        )
    for search in run.documents.get("search") or ():
        if search.get("stopped"):
            tried = f"{count(search['evaluations'])} of {plural(search['asked'], 'evaluation')}"
            where = f"{search['candidate']}, {search['format']}, n={count(search['length'])}"
            yield f"Incomplete: the search of {where} stopped after {tried}: {search['stopped']}."
    for candidate, lost in _lost_rows(run).items():
        kinds = dict.fromkeys(f.kind for f in run.findings if f.candidate == candidate and f.unit == "calls")
        yield f"{candidate} gave no output for {plural(lost, 'row')}: {', '.join(kinds)}."


def _how_to_continue(run: RunData) -> str:
    """Return how to continue an interrupted command; a gate begins anew."""
    begins_anew = list(run.command or ())[1:2] == ["gate"]
    return "begin the gate anew" if begins_anew else "go on with the same command and --resume"


def _lost_rows(run: RunData) -> dict[str, int]:
    """Return the number of rows without outputs, by candidate, where it is not 0."""
    lost: dict[str, int] = {}
    for standing in run.standings:
        if missing := standing.lost_rows:
            lost[standing.key.candidate] = lost.get(standing.key.candidate, 0) + missing
    return lost


def _failures(measured: list[Standing], losing: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Return the sentences on rows that failed, and those on candidates without a failed row."""
    formats: dict[str, list[str]] = {}
    failing: dict[str, list[str]] = {}
    for s in measured:
        formats.setdefault(s.key.candidate, []).append(s.key.formats)
        if s.total("failed_rows"):
            failing.setdefault(s.key.candidate, []).append(s.key.formats)
    healthy = [name for name in formats if name not in failing and name not in losing]
    if not failing:
        sound = [s for s in measured if s.key.candidate in healthy] or measured
        rows = plural(sum(s.total("completed_rows") for s in sound), "row")
        if not healthy:
            return [], [f"No row of the {rows} that gave outputs failed."]
        return [], [f"No row of {some(healthy)} failed: {rows} tried."]
    rest = f" No row of {some(healthy)} failed." if healthy else ""
    if len(failing) > _NAMED:
        sentence = f"{count(len(failing))} of {plural(len(formats), 'candidate')} fail.{rest}"
    else:
        clauses = (f"{name} fails {_in(there, formats[name])}" for name, there in failing.items())
        sentence = f"{'; '.join(clauses)}.{rest}"
    worst = max((s for s in measured if s.total("failed_rows")), key=lambda s: s.greatest("failed_rate") or 0)
    cell = worst.worst("failed_rate")
    assert cell is not None
    at_worst = (
        f"At worst {percent(cell['failed_rate'])} of the rows of"
        f" {place(cell)} failed ({cell['candidate']}, {worst.key.formats})."
    )
    return [sentence, at_worst], []


def _in(there: list[str], everywhere: list[str]) -> str:
    """Return in which of its formats a candidate fails."""
    if len(there) == len(everywhere) > 1:
        return "in every format"
    others = [name for name in everywhere if name not in there]
    return f"in {_listed(there)}" + (f" (not in {_listed(others)})" if others else "")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _against_bounds(measured: list[Standing]) -> tuple[list[str], list[str]]:
    """Return the sentences on errors above the bound of the standard tier, and those on errors within it."""
    ratios = [
        (ratio, s)
        for s in measured
        if not s.total("failed_rows") and (ratio := s.greatest("bound_ratio")) is not None
    ]
    if not ratios:
        return [], []
    ratio, worst = max(ratios, key=lambda pair: pair[0])
    cell = worst.worst("bound_ratio")
    assert cell is not None
    named = f"{cell['candidate']}, {worst.key.formats}, {place(cell)}"
    every = "Every" if all(not s.total("failed_rows") for s in measured) else "Where no row failed, every"
    if ratio <= 1:
        sentence = (
            f"{every} error is within the a-priori bound of the standard tier: at most {ulps(ratio)} of it"
        )
        return [], [f"{sentence} ({named})."]
    beyond = sum(ratio > 1 for ratio, _ in ratios)
    among = f"{count(beyond)} of the {count(len(ratios))} pairs of candidate and format without a failed row"
    whose = among if len(ratios) > 1 else f"{cell['candidate']} in {worst.key.formats}"
    where = named if len(ratios) > 1 else place(cell)
    sentence = (
        f"Errors of {whose} exceed the a-priori bound of the standard tier: {ulps(ratio)} times it at worst"
    )
    return [f"{sentence} ({where})."], []


def some(names: Sequence[str]) -> str:
    """Return a few names, or how many there are."""
    return f"{len(names)} candidates" if len(names) > _NAMED else _listed(names)


def _worst_error(measured: list[Standing], run: RunData) -> Iterator[str]:
    with_errors = [s for s in measured if s.greatest("max_ulp") is not None]
    if not with_errors:
        return
    worst = max(with_errors, key=lambda s: s.greatest("max_ulp") or 0)
    cell = worst.worst("max_ulp")
    assert cell is not None
    yield (
        f"Worst error of a finite output: {ulps(cell['max_ulp'])} ULP ({cell['candidate']},"
        f" {worst.key.formats}, {place(cell)}); {_sample(worst, cell, run)}."
    )


def _sample(standing: Standing, cell: Row, run: RunData) -> str:
    """Return what a figure is the worst of: all rows of its standing, or one search."""
    if cell["regime"] == SEARCHED:
        return searched(cell["completed_rows"], run.seed)
    return sample(standing.total("completed_rows"), run.seed, whole=run.is_exhaustive)


def place(cell: Row) -> str:
    """Return the regime and length of a cell."""
    return f"{cell['regime']}, n={count(cell['length'])}"


def where(standing: Standing, column: str) -> str:
    """Return the place of the greatest figure of a column; empty where it is 0 or null."""
    cell = standing.worst(column)
    return place(cell) if cell is not None and cell[column] else ""


def with_place(figure: str, name: str) -> str:
    """Return a figure with its place, if it has one."""
    return f"{figure} ({name})" if name else figure


def observed(standing: Standing, key: str) -> str:
    """Return the behaviours on policy rows of a kind, the most frequent first."""
    counts = [
        (number, name.partition(":")[2])
        for name, number in standing.errors.policies.items()
        if name.startswith(f"{key}:")
    ]
    return ", ".join(_behaviours(sorted(counts, key=lambda entry: (-entry[0], entry[1])))) or NOTHING


def _behaviours(counts: list[tuple[int, str]]) -> Iterator[str]:
    for number, name in counts:
        yield f"{name.replace('_', ' ')} ({count(number)})"
