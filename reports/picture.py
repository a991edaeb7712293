"""A picture with the numbers behind it: how every section that draws shows what it drew."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.drawing import MOST_CURVES
from reports.rundata import RunData, Standing
from reports.section import fill
from reports.spelling import csv_cell

__all__ = ["Picture", "Table", "by_formats", "csv_text", "drawn", "worst_curves"]


@dataclass(frozen=True)
class Table:
    """A small table; columns after the first `words` hold numbers, spelled as `reports.figures` does."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        title: its heading, within the section.
        image: the SVG.
        table: the numbers that answer what the picture is asked.
        csv: all that is drawn.
        note: a further remark, such as on standings left out.
    """

    title: str
    image: Markup
    table: Table
    csv: str
    note: str = ""


def drawn(pictures: Sequence[Picture], css: str) -> Markup:
    """Return pictures side by side where there is room, their numbers folded; nothing where there is none.

    Args:
        pictures: what to draw.
        css: the class of the grid that they stand in.
    """
    return fill("pictures.html", pictures=pictures, css=css) if pictures else Markup()


def csv_text(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV, figures to six digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_cell, headings))
    for row in rows:
        writer.writerow([_spelled(value) for value in row])
    return buffer.getvalue()


def _spelled(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return csv_cell(value) if isinstance(value, str) else value


def by_formats(run: RunData) -> Iterator[tuple[str, list[Standing]]]:
    """Yield each pair of formats with the standings that have an error to show."""
    for formats in run.formats:
        standings = [s for s in run.standings if s.key.formats == formats and s.errors.representable]
        if standings:
            yield formats, standings


def worst_curves(standings: Sequence[Standing]) -> list[Standing]:
    """Return those that a picture has room for, the worst of them, in the plan's order."""
    ranked = sorted(standings, key=lambda s: s.errors.max_ulp or 0.0, reverse=True)[:MOST_CURVES]
    return [s for s in standings if s in ranked]


def left_out(standings: Sequence[Standing], curves: Sequence[Standing]) -> str:
    """Return which standings a picture shows, where it does not show all."""
    if len(standings) == len(curves):
        return ""
    return f"Drawn: the {len(curves)} with the greatest errors of {len(standings)}; the CSV has all."
