"""Tables of records: one line each, with a state, and the command that shows it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

from reports.figures import NOTHING
from reports.section import fill

__all__ = ["MOST_RECORDS", "Record", "State", "records"]

_FIGURE: Final = re.compile(r"-?[\d.,]+(e-?\d+)?( %)?|inf|-")

MOST_RECORDS: Final = 100
"""Records drawn of one table."""

State = Literal["good", "bad", "known", "open", "plain"]


@dataclass(frozen=True)
class Record:
    """A line: its texts, its status, a note beneath it, and the command that shows it again."""

    texts: Sequence[str]
    state: State = "plain"
    said: str = ""
    command: str = ""


def records(
    name: str,
    headings: Sequence[str],
    lines: Iterable[Record],
    *,
    more: str,
    intro: str = "",
    most: int = MOST_RECORDS,
) -> Markup:
    """Return a table of records that sorts and filters.

    Args:
        name: keeps the table apart from others of the page; shown to who cannot see it.
        headings: of the columns; the first record's state is the colour of its first text.
        lines: the worst first, since only so many are drawn.
        more: the file that has all of them.
        intro: a sentence or a few before the table.
        most: records that are drawn.
    """
    everything = list(lines)
    return fill(
        "records.html",
        name=name,
        headings=headings,
        numbers=_numeric(everything),
        records=everything[:most],
        count_of_all=len(everything),
        more=more,
        intro=intro,
    )


def _numeric(lines: Sequence[Record]) -> frozenset[int]:
    """Return the columns that hold nothing but figures, which stand to the right."""
    columns = list(zip(*(line.texts for line in lines), strict=True))
    return frozenset(
        k
        for k, texts in enumerate(columns)
        if k and any(text != NOTHING for text in texts) and all(map(_FIGURE.fullmatch, texts))
    )
