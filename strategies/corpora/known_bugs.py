"""The inputs of publicly reported bugs, as recipes that run.

`known_bugs.json` holds one entry for each report. A recipe is a row put together from
segments, given one after another:

* `{"values": [...]}`: these, with "inf", "-inf" and "nan" as strings;
* `{"full": n, "value": v}`: n times v;
* `{"normal": n, "scale": s, "offset": o}`: n values o + s z, z standard normal;
* `{"uniform": n, "low": a, "high": b}`: n values uniform in [a, b).

What is drawn depends on the report and the recipe's place in it alone. Where the fault
lies in strides, axes or shapes, the recipe gives the row all the same, and the note says
how it was seen. An entry without rows says why it is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from strategies.source import F64
from strategies.words import Words

__all__ = ["KnownBug", "known_bug_rows", "known_bugs", "left_out"]

_DATA: Final = Path(__file__).with_name("known_bugs.json")

Recipe = list[dict[str, Any]]


@dataclass(frozen=True)
class KnownBug:
    """A public report of a softmax, log_softmax or logsumexp that went wrong.

    Attributes:
        repo: owner and name on GitHub.
        number: of the issue.
        url: of the issue.
        op: the operation it is about.
        seen_in: the formats it was seen in, as the report has them.
        kind: what went wrong.
        rows: the inputs, float64.
        note: how it was seen, where the row alone does not say.
        left_out: why there are no rows; empty where there are.
    """

    repo: str
    number: int
    url: str
    op: str
    seen_in: str
    kind: str
    rows: tuple[F64, ...]
    note: str
    left_out: str

    @property
    def label(self) -> str:
        """The repository and number, as in `owner/name#1`."""
        return f"{self.repo}#{self.number}"


@cache
def known_bugs() -> tuple[KnownBug, ...]:
    """Return every report in the data file, in its order."""
    return tuple(_known_bug(entry) for entry in json.loads(_DATA.read_text(encoding="utf-8")))


def known_bug_rows() -> list[tuple[str, F64]]:
    """Return the label and values of every row; a row that one op gets wrong is put to all."""
    return [(bug.label, row) for bug in known_bugs() for row in bug.rows]


def left_out() -> tuple[KnownBug, ...]:
    """Return the reports that have no rows here; each says why."""
    return tuple(bug for bug in known_bugs() if bug.left_out)


def _known_bug(entry: dict[str, Any]) -> KnownBug:
    recipes = entry.pop("rows", [])
    rows = tuple(
        _row(recipe, Words(("known-bugs", entry["repo"], entry["number"], place)))
        for place, recipe in enumerate(recipes)
    )
    return KnownBug(**{"note": "", "left_out": "", **entry}, rows=rows)


def _row(recipe: Recipe, words: Words) -> F64:
    return np.concatenate([_segment(segment, words) for segment in recipe])


def _segment(segment: dict[str, Any], words: Words) -> F64:
    match segment:
        case {"values": values}:
            return np.array([float(value) for value in values])
        case {"full": n, "value": value}:
            return np.full(n, float(value))
        case {"normal": n, "scale": scale, "offset": offset}:
            return words.normal((n,)) * float(scale) + float(offset)
        case {"uniform": n, "low": low, "high": high}:
            return words.between(low, high, (n,))
    raise ValueError(f"segment {segment}: it is one of those that this module's text lists")
