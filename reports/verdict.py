"""What a run says in a few sentences: the same in the terminal, in HTML and in Markdown.

Rates are never pooled over regimes: a sentence names the worst cell. Failed rows come
before errors, since an ULP error says nothing where outputs are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reports.cells import SEARCHED, Row
from reports.figures import count, percent, plural, sample, searched, ulps
from reports.rundata import RunData, Standing

__all__ = ["place", "sentences", "where", "with_place"]


def sentences(run: RunData) -> Iterator[str]:
    """Yield the verdict: what is missing, who failed, who did not, the worst error, and other findings."""
    measured = [s for s in run.standings if s.is_measured]
    yield from _missing(run)
    if not measured:
        yield f"Nothing was measured: no row of {plural(len(run.cells), 'cell')} came back."
        return
    yield _failures(measured, losing=_lost_rows(run))
    yield from _worst_error(measured, run.seed)
    if run.findings:
        yield (
            f"{plural(len(run.findings), 'finding')} apart from accuracy:"
            f" {', '.join(dict.fromkeys(f.kind for f in run.findings))}."
        )


def _missing(run: RunData) -> Iterator[str]:
    """Say what has not been measured, or did not come back."""
    if run.shards_left:
        yield (
            f"Incomplete: {plural(run.shards_left, 'shard')} of {count(run.shards)} not measured yet;"
            " go on with the same command and --resume."
        )
    for candidate, lost in _lost_rows(run).items():
        kinds = dict.fromkeys(f.kind for f in run.findings if f.candidate == candidate and f.unit == "calls")
        yield f"{candidate} gave no output for {plural(lost, 'row')}: {', '.join(kinds)}."


def _lost_rows(run: RunData) -> dict[str, int]:
    """Return how many rows did not come back, by candidate, where any."""
    lost: dict[str, int] = {}
    for standing in run.standings:
        missing = standing.total("rows") - standing.total("completed_rows")
        if missing:
            lost[standing.key.candidate] = lost.get(standing.key.candidate, 0) + missing
    return lost


def _failures(measured: list[Standing], losing: Mapping[str, int]) -> str:
    candidates = dict.fromkeys(s.key.candidate for s in measured)
    failing = dict.fromkeys(s.key.candidate for s in measured if s.total("failed_rows"))
    rows = plural(sum(s.total("completed_rows") for s in measured), "row")
    healthy = [name for name in candidates if name not in failing and name not in losing]
    if not failing:
        return (
            f"No row failed: {_some(healthy)} in {rows}."
            if healthy
            else f"No row that came back failed: {rows}."
        )
    worst = max((s for s in measured if s.total("failed_rows")), key=lambda s: s.greatest("failed_rate") or 0)
    cell = worst.worst("failed_rate")
    assert cell is not None
    rest = f" No row of {_some(healthy)} failed." if healthy else ""
    return (
        f"{_some(list(failing))} failed: at worst {percent(cell['failed_rate'])} of the rows of"
        f" {place(cell)} ({cell['candidate']}, {worst.key.formats}).{rest}"
    )


def _some(names: list[str]) -> str:
    """Name up to three, or say how many."""
    if len(names) > 3:
        return f"{len(names)} candidates"
    return " and ".join(names) if len(names) < 3 else f"{names[0]}, {names[1]} and {names[2]}"


def _worst_error(measured: list[Standing], seed: object) -> Iterator[str]:
    with_errors = [s for s in measured if s.greatest("max_ulp") is not None]
    if not with_errors:
        return
    worst = max(with_errors, key=lambda s: s.greatest("max_ulp") or 0)
    cell = worst.worst("max_ulp")
    assert cell is not None
    yield (
        f"Worst error of a finite output: {ulps(cell['max_ulp'])} ULP ({cell['candidate']},"
        f" {worst.key.formats}, {place(cell)}); {_sample(worst, cell, seed)}."
    )


def _sample(standing: Standing, cell: Row, seed: object) -> str:
    """Say what a figure is the worst of: of all rows of its standing, or of the search that found it."""
    if cell["regime"] == SEARCHED:
        return searched(cell["completed_rows"], seed)
    return sample(standing.total("completed_rows"), seed)


def place(cell: Row) -> str:
    """Name the regime and length of a cell."""
    return f"{cell['regime']}, n={count(cell['length'])}"


def where(standing: Standing, column: str) -> str:
    """Name the place of the greatest figure of a column; empty where it is 0 or null."""
    cell = standing.worst(column)
    return place(cell) if cell is not None and cell[column] else ""


def with_place(figure: str, name: str) -> str:
    """Return a figure with the place it was found at, where there is one."""
    return f"{figure} ({name})" if name else figure
