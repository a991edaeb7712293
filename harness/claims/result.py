"""The verdict of a run on a claim.

A verdict is one of

* `refuted`: a row contradicts the claim, and is its witness;
* `not refuted in N rows`: every one of N rows agrees;
* `proved`: settled once and for all, by an exact result or by looking at every case;
* `depends`: it holds under a condition and fails without; a witness of each side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reports.figures import count, plural, ulps
from reports.record.tally import plain
from reports.record.witness import Witness

__all__ = ["DEPENDS", "PROVED", "REFUTED", "ClaimResult", "Figure", "Finding", "not_refuted"]

REFUTED: Final = "refuted"
PROVED: Final = "proved"
DEPENDS: Final = "depends"

Figure = int | float | str

_LARGE: Final = 1e5


def not_refuted(rows: int) -> str:
    """Return the verdict on a claim with which all of so many rows agree."""
    return f"not refuted in {plural(rows, 'row')}"


@dataclass(frozen=True)
class Finding:
    """The result of a claim's predicate.

    Attributes:
        verdict: see the module.
        account: one or two sentences, with the names of figures in braces where these belong.
        figures: the counts and measures behind the verdict.
        witnesses: rows to replay, the telling one first; None stands for one that was not found.
        conclusions: a further sentence for each verdict, on what follows from it.
    """

    verdict: str
    account: str
    figures: Mapping[str, Figure]
    witnesses: tuple[Witness | None, ...]
    conclusions: Mapping[str, str] = field(default_factory=dict)

    @property
    def explanation(self) -> str:
        """The explanation, with its figures filled in."""
        text = self.account + self.conclusions.get(self.verdict, "")
        return text.format_map({name: _readable(figure) for name, figure in self.figures.items()})


def _readable(figure: Figure) -> str:
    if isinstance(figure, str):
        return figure
    if isinstance(figure, int):
        return count(figure)
    return ulps(figure) if abs(figure) < _LARGE else f"{figure:.3g}"


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its verdict.

    Attributes:
        id: its number.
        statement: the claim.
        source: the author of the claim.
    """

    id: int
    statement: str
    source: str
    verdict: str
    explanation: str
    figures: Mapping[str, Figure]
    witnesses: tuple[Witness, ...]

    def document(self) -> dict[str, Any]:
        """Return the result as JSON; `witness` is the first, each a line of witnesses.jsonl."""
        witnesses = [json.loads(w.line()) for w in self.witnesses]
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "verdict": self.verdict,
            "explanation": self.explanation,
            "figures": plain(self.figures),
            "witness": witnesses[0] if witnesses else None,
            "witnesses": witnesses,
        }
