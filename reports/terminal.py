"""The table that a person reads at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from reports.figures import NOTHING, count, percent, plural, seeded, ulps
from reports.looking import looked_at_in_all
from reports.rundata import RunData, Standing
from reports.section import Guard, undrawn
from reports.spelling import lines
from reports.verdict import sentences, where

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
    from rich.table import Table

__all__ = ["summary"]

_TITLES: Final = {
    "failed": "failed_rate",
    "worst ULP": "max_ulp",
    "overflow": "overflow_rate",
    "total underflow": "total_underflow_rate",
    "underflow": "underflow_rate",
}
_FIGURE_WIDTH: Final = 11
_ANY_WIDTH: Final = 10_000
_FINDINGS_SHOWN: Final = 8
_RULES_SHOWN: Final = 3
"""Broken rules of a candidate."""

Printable = Callable[[str], str]


def summary(run: RunData, encoding: str | None = "utf-8") -> RenderableType:
    """Return what to print at the end of a run: a table where the terminal is wide enough, else a list.

    Args:
        run: the data of the run.
        encoding: that of the stream; lines and names that it cannot carry are spelled in ASCII.
    """
    from rich.console import Group
    from rich.text import Text

    printable = _printable(encoding or "ascii")
    guard = Guard()
    parts = {
        "verdict": partial(sentences, run),
        "findings": partial(_findings, run),
        "broken": partial(_broken, run),
        "looked": partial(_looked, run),
    }
    texts = [line for name, part in parts.items() for line in guard.lines(name, part)]
    texts.append(f"Each figure is the worst of its line, beside its cell{seeded(run.seed)}.")
    # The terminal breaks what is too long for it: a command that it breaks is copied whole.
    lines = [Text(printable(text), no_wrap=True, overflow="ignore") for text in texts]
    try:
        figures: RenderableType = _Fitting(_table(run, printable, encoding), _list(run, printable))
    except Exception as error:  # noqa: BLE001  whatever fails in it costs no sentence
        figures = Text(undrawn("table", error))
    return Group(figures, *lines)


@dataclass(frozen=True)
class _Fitting:
    """The wide renderable where no word of it needs breaking, else the narrow one."""

    wide: RenderableType
    narrow: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement

        unbounded = options.update(max_width=_ANY_WIDTH)
        fits = Measurement.get(console, unbounded, self.wide).maximum <= options.max_width
        yield self.wide if fits else self.narrow


def _table(run: RunData, printable: Printable, encoding: str | None) -> Table:
    """Return one row a standing, each figure above the place it was found at."""
    from rich.box import ASCII2, SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD if _carries(encoding, "─") else ASCII2, pad_edge=False, show_lines=True)
    table.add_column("candidate", no_wrap=True)
    for title in _TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    for s in run.standings:
        above = [_subject(s), *(f"{figure}\n{_stacked(place)}".rstrip() for figure, place in _figures(s))]
        table.add_row(*(Text(printable(text)) for text in above))
    return table


def _list(run: RunData, printable: Printable) -> Group:
    """Return one line a figure, its place beside it, under a line that names the standing."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for s in run.standings:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=max(map(len, _TITLES)) + 2)
        grid.add_column(justify="right", width=_FIGURE_WIDTH)
        grid.add_column(overflow="fold")
        for title, (figure, place) in zip(_TITLES, _figures(s), strict=True):
            grid.add_row(*(Text(printable(text)) for text in (f"  {title}", figure, place)))
        parts += [Text(printable(_subject(s).replace("\n", ", "))), grid, Text()]
    return Group(*parts)


def _subject(standing: Standing) -> str:
    """Return a standing, and how many rows it is about."""
    named = f"{standing.key.candidate}\n{standing.key.formats}"
    rows = plural(standing.total("completed_rows"), "row")
    if standing.lost_rows:
        rows += f"\n{count(standing.lost_rows)} gave none"
    return f"{named}\n{rows}" if standing.is_measured else named


def _figures(standing: Standing) -> Iterator[tuple[str, str]]:
    """Yield each figure of `_TITLES` with the place it was found at."""
    if not standing.is_measured:
        yield _why(standing), ""
        yield from [(NOTHING, "")] * (len(_TITLES) - 1)
        return
    for column in _TITLES.values():
        spelled = ulps if column == "max_ulp" else percent
        yield spelled(standing.greatest(column)), where(standing, column)


def _stacked(place: str) -> str:
    return place.replace(", ", "\n")


def _why(standing: Standing) -> str:
    statuses = dict.fromkeys(cell["status"] for cell in standing.cells)
    return "unsupported" if standing.is_unsupported else ", ".join(s for s in statuses if s != "ok") or "none"


def _findings(run: RunData) -> Iterator[str]:
    for f in run.findings[:_FINDINGS_SHOWN]:
        yield f"{f.candidate}, {f.format}: {f.kind}, {plural(f.count, f.unit[:-1])}: {f.message}"
        if f.witness:
            yield f"    {run.replay_command(f.witness)}"
    if len(run.findings) > _FINDINGS_SHOWN:
        yield f"... and {plural(len(run.findings) - _FINDINGS_SHOWN, 'finding')} more in the report"


def _broken(run: RunData) -> Iterator[str]:
    """Yield the first counterexample of each rule of the contract that a candidate breaks."""
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for check in run.broken_checks:
        first.setdefault((check["candidate"], check["check"]), check)
    shown = [check for number, check in _numbered(first.values()) if number < _RULES_SHOWN]
    for check in shown:
        yield f"{check['candidate']}, {check['format']}: {check['check']}: {check.get('message') or 'broken'}"
        if witness := check.get("witness"):
            yield f"    {run.replay_command(witness['id'])}"
    if len(first) > len(shown):
        yield f"... and {plural(len(first) - len(shown), 'broken rule')} more in the report"


def _numbered(checks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield checks with their number among those of their candidate."""
    seen: Counter[str] = Counter()
    for check in checks:
        yield seen[check["candidate"]], check
        seen[check["candidate"]] += 1


def _looked(run: RunData) -> Iterator[str]:
    seen = looked_at_in_all(run.checks)
    if seen:
        yield f"Contract and properties were checked on {seen}."


def _carries(encoding: str | None, text: str) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _printable(encoding: str) -> Printable:
    """Return what spells a text so that the stream can carry it and the terminal obeys nothing in it."""

    def spelled(text: str) -> str:
        safe = lines(text)
        return safe if _carries(encoding, safe) else safe.encode("ascii", "backslashreplace").decode()

    return spelled
