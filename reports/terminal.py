"""The table that a person reads at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from reports.figures import NOTHING, percent, plural, seeded, ulps
from reports.rundata import RunData, Standing
from reports.verdict import sentences, where

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["summary"]

_RATES: Final = ("failed_rate", "overflow_rate", "total_underflow_rate", "underflow_rate")
_FINDINGS_SHOWN: Final = 8

Printable = Callable[[str], str]


def summary(run: RunData, encoding: str | None = "utf-8") -> RenderableType:
    """Return what to print at the end of a run.

    Args:
        run: what is drawn of it.
        encoding: that of the stream; lines and names that it cannot carry are spelled in ASCII.
    """
    from rich.console import Group
    from rich.text import Text

    printable = _printable(encoding or "ascii")
    lines = [Text(printable(line)) for line in (*sentences(run), *_findings(run))]
    note = Text(printable(f"Each figure is the worst of its line, its cell named beneath{seeded(run.seed)}."))
    return Group(_table(run, printable, encoding), *lines, note)


def _table(run: RunData, printable: Printable, encoding: str | None) -> Table:
    from rich.box import ASCII2, SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD if _carries(encoding, "─") else ASCII2, pad_edge=False, show_lines=True)
    table.add_column("candidate", overflow="fold")
    for title in ("failed", "worst ULP", "overflow", "total underflow", "underflow"):
        table.add_column(title, justify="right", overflow="fold")
    for standing in run.standings:
        table.add_row(*(Text(printable(text)) for text in _line(standing)))
    return table


def _line(standing: Standing) -> Iterator[str]:
    """Yield the texts of one row of the table: each figure with its place on the lines below it."""
    subject = f"{standing.key.candidate}\n{standing.key.formats}"
    if not standing.is_measured:
        yield from (subject, _why(standing), *[NOTHING] * len(_RATES))
        return
    yield f"{subject}\n{plural(standing.total('completed_rows'), 'row')}"
    failed, *rates = (_below(standing, column, percent) for column in _RATES)
    yield from (failed, _below(standing, "max_ulp", ulps), *rates)


def _below(standing: Standing, column: str, spelled: Callable[[float | None], str]) -> str:
    lines = [spelled(standing.greatest(column)), *where(standing, column).split(", ")]
    return "\n".join(lines).rstrip()


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


def _carries(encoding: str | None, text: str) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _printable(encoding: str) -> Printable:
    """Return what spells a text so that the stream can carry it and the terminal obeys nothing in it."""

    def spelled(text: str) -> str:
        safe = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        return safe if _carries(encoding, safe) else safe.encode("ascii", "backslashreplace").decode()

    return spelled
